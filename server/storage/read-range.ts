import { NearcastError } from '../lib/errors.ts'
import { shown } from './object-key.ts'
import type { ReadRange } from './object-store.ts'

/** Throws `bad-request` for positions that are no byte positions. */
export function checkRange(range: ReadRange | undefined): void {
  if (range === undefined) return
  const numbers = 'suffix' in range ? [range.suffix] : [range.start, range.end ?? range.start]
  const whole = numbers.every((n) => Number.isSafeInteger(n) && n >= 0)
  const ordered = 'suffix' in range || range.end === undefined || range.end >= range.start
  if (!whole || !ordered)
    throw new NearcastError('bad-request', `${JSON.stringify(range)} is no range of bytes`)
}

/** Where a range lies in an object of `size` bytes; throws `range-not-satisfiable` when it holds no byte of it (RFC 9110 §14.1.2). */
export function locateRange(
  key: string,
  range: ReadRange | undefined,
  size: number,
): { readonly start: number; readonly length: number } {
  if (range === undefined) return { start: 0, length: size }
  if ('suffix' in range) {
    const length = Math.min(range.suffix, size)
    if (length === 0) throw outside(key, range, size)
    return { start: size - length, length }
  }
  if (range.start >= size) throw outside(key, range, size)
  const last = Math.min(range.end ?? size - 1, size - 1)
  return { start: range.start, length: last - range.start + 1 }
}

function outside(key: string, range: ReadRange, size: number): NearcastError {
  const asked = 'suffix' in range ? `the last ${range.suffix} bytes` : `from ${range.start}`
  return new NearcastError('range-not-satisfiable', `${shown(key)} has ${size} bytes, not ${asked}`)
}
