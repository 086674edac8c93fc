import type { Fill } from './fill.ts'
import type { SliceGrid } from './slice-grid.ts'

/** With this many pieces in one cell of the grid the next fill closes the whole gap: tiny ranges can't shatter a cell. */
const PIECES_MAX = 4

/** The run to ask for: from `start` to what is here already or on its way; the whole gap where a cell is in pieces. */
export function runToFetch(
  grid: SliceGrid,
  fills: ReadonlySet<Fill>,
  wanted: { readonly start: number; readonly end: number; readonly size: number },
): { readonly start: number; readonly end: number } {
  const position = wanted.start
  let { start, end } = wanted
  const pieces = grid.pieces(position)
  if (pieces.length >= PIECES_MAX) {
    const cellStart = grid.cellStart(position)
    start = cellStart
    for (const slice of pieces)
      if (slice.end <= position) start = Math.max(start, slice.filling ? slice.limit : slice.end)
    const others = [...fills].some((f) => f.position > start && f.position <= position)
    start = others ? position : Math.min(start, position)
    end = Math.min(Math.max(end, cellStart + grid.cellBytes), wanted.size)
  }
  return { start, end: Math.min(end, nextBoundary(grid, fills, position)) }
}

/** Where the next bytes after `position` begin that are here or on their way. */
export function nextBoundary(grid: SliceGrid, fills: ReadonlySet<Fill>, position: number): number {
  let boundary = grid.nextStart(position)
  for (const fill of fills)
    if (!fill.stopped && fill.position > position && fill.position < boundary)
      boundary = fill.position
  return boundary
}

/** The fill on its way to the byte at `position` that is no more than `near` bytes before it. */
export function coveringFill(
  fills: Iterable<Fill>,
  position: number,
  near: number,
): Fill | undefined {
  for (const fill of fills) {
    if (fill.stopped || position < fill.position || position >= fill.limit) continue
    if (position - fill.position <= near) return fill
  }
  return undefined
}
