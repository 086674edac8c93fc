import type { Slice } from './slice.ts'

/** A generation's slices by cell of the grid; several in one cell where only parts of it were asked for. */
export class SliceGrid {
  readonly cellBytes: number
  readonly #cells = new Map<number, readonly Slice[]>()

  constructor(cellBytes: number) {
    this.cellBytes = cellBytes
  }

  get empty(): boolean {
    return this.#cells.size === 0
  }

  get filledBytes(): number {
    let bytes = 0
    for (const slice of this.all()) bytes += slice.filled
    return bytes
  }

  /** First byte of the cell that holds this position. */
  cellStart(position: number): number {
    return position - (position % this.cellBytes)
  }

  /** The slice that holds the byte at this position now. */
  at(position: number): Slice | undefined {
    for (const slice of this.pieces(position))
      if (slice.start <= position && position < slice.end) return slice
    return undefined
  }

  /** All slices of the cell that holds this position. */
  pieces(position: number): readonly Slice[] {
    return this.#cells.get(this.#cellOf(position)) ?? NONE
  }

  add(slice: Slice): void {
    const cell = this.#cellOf(slice.start)
    this.#cells.set(cell, [...(this.#cells.get(cell) ?? NONE), slice])
  }

  remove(slice: Slice): void {
    const cell = this.#cellOf(slice.start)
    const rest = this.#cells.get(cell)?.filter((piece) => piece !== slice) ?? NONE
    if (rest.length > 0) this.#cells.set(cell, rest)
    else this.#cells.delete(cell)
  }

  /** Where the first slice behind this position begins; Infinity for none. */
  nextStart(position: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const pieces of this.#cells.values())
      for (const slice of pieces)
        if (slice.start > position && slice.start < next) next = slice.start
    return next
  }

  /** All `size` bytes in pieces that never change; undefined when some are not here. */
  whole(size: number): readonly Buffer[] | undefined {
    const pieces: Buffer[] = []
    for (let at = 0; at < size; ) {
      const slice = this.at(at)
      if (!slice) return undefined
      pieces.push(slice.bytes.subarray(0, slice.filled))
      at = slice.end
    }
    return pieces
  }

  *all(): Generator<Slice> {
    for (const pieces of this.#cells.values()) yield* pieces
  }

  #cellOf(position: number): number {
    return Math.floor(position / this.cellBytes)
  }
}

const NONE: readonly Slice[] = []
