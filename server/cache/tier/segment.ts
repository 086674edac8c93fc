import type { FileHandle } from 'node:fs/promises'
import { INDEX_ENTRY_BYTES, INDEX_HEADER_BYTES, SegmentEntries } from './segment-files.ts'

/** One segment file, open until it is given up. */
export interface Segment {
  readonly number: number
  readonly file: FileHandle
  entries: SegmentEntries
  /** False until its entries are read; then `bytes` is what lies there. */
  known: boolean
  /** Of its file, and of its index file once that is saved. */
  bytes: number
  /** Entries that its index file covers. */
  covered: number
}

export function newSegment(number: number, file: FileHandle): Segment {
  const entries = new SegmentEntries()
  return { number, file, entries, known: true, bytes: sizeOf(entries), covered: 0 }
}

/** What a segment with these entries takes, its index file included. */
export function sizeOf(entries: SegmentEntries): number {
  return entries.end + INDEX_HEADER_BYTES + entries.length * INDEX_ENTRY_BYTES
}

/** Parts shorter than this are copied together: a million tiny records are not three million buffers to the kernel. */
const JOINED_BYTES_MAX = 16 * 1024

function joined(parts: readonly Uint8Array[]): Uint8Array[] {
  const whole: Uint8Array[] = []
  let small: Uint8Array[] = []
  const flush = () => {
    if (small.length > 0) whole.push(Buffer.concat(small))
    small = []
  }
  for (const part of parts) {
    if (part.length < JOINED_BYTES_MAX) {
      small.push(part)
      continue
    }
    flush()
    whole.push(part)
  }
  flush()
  return whole
}

/** All of it: a short write is a disk that is full. */
export async function writeAll(
  file: FileHandle,
  parts: readonly Uint8Array[],
  position: number,
): Promise<void> {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const { bytesWritten } = await file.writev(joined(parts), position)
  if (bytesWritten === length) return
  const short = new Error(`wrote ${bytesWritten} of ${length} bytes`)
  throw Object.assign(short, { code: 'ENOSPC' })
}

/** The disk, or this user's share of it, is full. */
export function isFull(error: unknown): boolean {
  return hasSystemCode(error, ['ENOSPC', 'EDQUOT'])
}

export function hasSystemCode(error: unknown, codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.some((code) => code === error.code)
}
