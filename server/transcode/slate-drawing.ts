const TEXT = 'We’ll be right back'

/** Five columns and seven rows each, a row a number whose highest of five bits is on the left. */
const GLYPHS: Readonly<Record<string, readonly number[]>> = {
  W: [17, 17, 17, 21, 21, 27, 17],
  e: [0, 0, 14, 17, 31, 16, 14],
  '’': [4, 4, 8, 0, 0, 0, 0],
  l: [12, 4, 4, 4, 4, 4, 14],
  b: [16, 16, 22, 25, 17, 17, 30],
  r: [0, 0, 22, 25, 16, 16, 16],
  i: [4, 0, 12, 4, 4, 4, 14],
  g: [0, 15, 17, 17, 15, 1, 14],
  h: [16, 16, 22, 25, 17, 17, 17],
  t: [8, 8, 28, 8, 8, 9, 6],
  a: [0, 0, 14, 1, 15, 17, 15],
  c: [0, 0, 14, 16, 16, 17, 14],
  k: [16, 16, 18, 20, 24, 20, 18],
}
const COLUMNS = 5
const ROWS = 7
const STEP = COLUMNS + 1

const GROUND = 26
const INK = 214

/** The slate as one byte of luma a pixel: no font file is needed, which a machine may not have. */
export function drawSlate(width: number, height: number): Buffer {
  const picture = Buffer.alloc(width * height, GROUND)
  const textColumns = TEXT.length * STEP - 1
  const dot = Math.max(1, Math.floor((width * 0.6) / textColumns))
  const left = Math.floor((width - textColumns * dot) / 2)
  const top = Math.floor((height - ROWS * dot) / 2)
  const put = (column: number, row: number) => {
    const x = Math.max(0, left + column * dot)
    for (let dy = 0; dy < dot; dy++) {
      const y = top + row * dot + dy
      if (y < 0 || y >= height || x >= width) continue
      picture.fill(INK, y * width + x, y * width + Math.min(width, x + dot))
    }
  }
  for (const [at, letter] of TEXT.split('').entries())
    for (const [row, bits] of (GLYPHS[letter] ?? []).entries())
      for (let column = 0; column < COLUMNS; column++)
        if ((bits >> (COLUMNS - 1 - column)) & 1) put(at * STEP + column, row)
  return picture
}
