/** Cells across the width of a picture: 28 bits of a number and 4 bits of check. */
export const CELLS = 32
export const STRIP_MODULUS = 2 ** 28
/** The strip's two rows together take this part of the height. */
export const STRIP_HEIGHT = 1 / 9

const BLACK = 16
const WHITE = 235

/**
 * The luma of two rows of cells that carry `value` modulo 2^28. The lower row is the opposite of the upper, so that a reader
 * compares two cells instead of guessing where grey becomes white.
 */
export function stripRows(value: number): readonly [Buffer, Buffer] {
  const number = Math.round(value) % STRIP_MODULUS
  const upper = Buffer.alloc(CELLS)
  const word = number * 16 + checkOf(number)
  for (let cell = 0; cell < CELLS; cell++)
    upper[cell] = Math.floor(word / 2 ** (CELLS - 1 - cell)) % 2 === 1 ? WHITE : BLACK
  return [upper, upper.map((luma) => BLACK + WHITE - luma) as Buffer]
}

/** Paints the strip over the top of a picture's luma plane; the width is a multiple of 32. */
export function paintStrip(luma: Buffer, width: number, height: number, value: number): void {
  const cell = width / CELLS
  const rowHeight = Math.round((height * STRIP_HEIGHT) / 2)
  stripRows(value).forEach((cells, row) => {
    const first = row * rowHeight * width
    for (let n = 0; n < CELLS; n++)
      luma.fill(cells[n] ?? 0, first + n * cell, first + (n + 1) * cell)
    for (let line = 1; line < rowHeight; line++)
      luma.copyWithin(first + line * width, first, first + width)
  })
}

/** What the four check cells hold: the sum of the number's hexadecimal digits, and one, so that a black picture is none. */
function checkOf(number: number): number {
  let sum = 1
  for (let rest = number; rest > 0; rest = Math.floor(rest / 16)) sum += rest % 16
  return sum % 16
}
