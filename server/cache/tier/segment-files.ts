import { crc32 } from 'node:zlib'
import {
  type FileHandle,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { type KeyHash, PLACE_LENGTH_MAX } from './hash-index.ts'
import { RECORD_HEADER_BYTES, readRecordHeader } from './record.ts'

/** One record of a segment. Of a `gone` one only the hash means something; all others are `put`. */
export interface SegmentEntry {
  readonly kind: 'put' | 'gone'
  readonly hash: KeyHash
  readonly offset: number
  readonly length: number
}

/** First bytes of each segment file: another form, seed or owner makes it one that is thrown away. */
export interface SegmentHeader {
  /** Of the hashes in it. */
  readonly seed: number
  /** Of what the answers in it depend on besides their keys. */
  readonly fingerprint: number
}

export const SEGMENT_HEADER_BYTES = 16
/** What one record takes in a segment's index file. */
export const INDEX_ENTRY_BYTES = 20
export const INDEX_HEADER_BYTES = 8

// "NcS1", "NcI1"
const SEGMENT_MAGIC = 0x4e635331
const INDEX_MAGIC = 0x4e634931
const SCAN_BYTES = 1024 * 1024
const NAME = /^(\d{10})\.segment$/
const GONE = 1
const WORDS = INDEX_ENTRY_BYTES / 4

/** What a segment holds, in the order of writing, packed: a segment of tiny records has a million of them. */
export class SegmentEntries {
  #words: Uint32Array
  #length: number

  constructor(words = new Uint32Array(WORDS * 64), length = 0) {
    this.#words = words
    this.#length = length
  }

  get length(): number {
    return this.#length
  }
  /** Offset behind the last record. */
  get end(): number {
    if (this.#length === 0) return SEGMENT_HEADER_BYTES
    const last = this.#length - 1
    return this.offset(last) + this.recordLength(last)
  }

  push({ kind, hash, offset, length }: SegmentEntry): void {
    const at = this.#length * WORDS
    if (at + WORDS > this.#words.length) {
      const grown = new Uint32Array(this.#words.length * 2)
      grown.set(this.#words)
      this.#words = grown
    }
    this.#words[at] = hash.high
    this.#words[at + 1] = hash.low
    this.#words[at + 2] = offset
    this.#words[at + 3] = length
    this.#words[at + 4] = kind === 'gone' ? GONE : 0
    this.#length++
  }

  at(number: number): SegmentEntry {
    return {
      kind: this.isGone(number) ? 'gone' : 'put',
      hash: { high: this.high(number), low: this.low(number) },
      offset: this.offset(number),
      length: this.recordLength(number),
    }
  }

  isGone(number: number): boolean {
    return this.#word(number * WORDS + 4) === GONE
  }
  high(number: number): number {
    return this.#word(number * WORDS)
  }
  low(number: number): number {
    return this.#word(number * WORDS + 1)
  }
  offset(number: number): number {
    return this.#word(number * WORDS + 2)
  }
  recordLength(number: number): number {
    return this.#word(number * WORDS + 3)
  }

  bytes(): Buffer {
    return Buffer.from(this.#words.buffer, this.#words.byteOffset, this.#length * INDEX_ENTRY_BYTES)
  }

  #word(at: number): number {
    return this.#words[at] ?? 0
  }
}

export function segmentPath(folder: string, segment: number): string {
  return join(folder, `${String(segment).padStart(10, '0')}.segment`)
}

export function indexPath(folder: string, segment: number): string {
  return join(folder, `${String(segment).padStart(10, '0')}.index`)
}

/** Numbers of the segments in the folder, oldest first; makes the folder and removes what a killed writer left of index files. */
export async function listSegments(folder: string): Promise<readonly number[]> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const names = await readdir(folder)
  const segments = names.flatMap((name) => {
    const digits = NAME.exec(name)?.[1]
    return digits === undefined ? [] : [Number(digits)]
  })
  const wanted = new Set(segments.map((segment) => indexPath(folder, segment)))
  for (const name of names)
    if (/^\d{10}\.index(?:\.new)?$/.test(name) && !wanted.has(join(folder, name)))
      await rm(join(folder, name), { force: true })
  return segments.sort((a, b) => a - b)
}

/** Bytes of all segment and index files in the folder. */
export async function bytesIn(folder: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(folder))
    if (/^\d{10}\.(?:segment|index)$/.test(name)) bytes += (await stat(join(folder, name))).size
  return bytes
}

export async function removeSegment(folder: string, segment: number): Promise<void> {
  await rm(segmentPath(folder, segment), { force: true })
  await rm(indexPath(folder, segment), { force: true })
}

export function writeSegmentHeader({ seed, fingerprint }: SegmentHeader): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES)
  header.writeUInt32LE(SEGMENT_MAGIC, 0)
  header.writeUInt32LE(seed, 4)
  header.writeUInt32LE(fingerprint, 8)
  header.writeUInt32LE(crc32(header.subarray(0, 12)), 12)
  return header
}

/** undefined when the file does not begin as a segment does. */
export async function readSegmentHeader(file: FileHandle): Promise<SegmentHeader | undefined> {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES)
  const { bytesRead } = await file.read(header, 0, header.length, 0)
  if (bytesRead < header.length || header.readUInt32LE(0) !== SEGMENT_MAGIC) return undefined
  if (header.readUInt32LE(12) !== crc32(header.subarray(0, 12))) return undefined
  return { seed: header.readUInt32LE(4), fingerprint: header.readUInt32LE(8) }
}

/** Kept beside a segment, all or nothing, so that a start need not read what it covers. */
export async function writeIndex(
  folder: string,
  segment: number,
  entries: SegmentEntries,
): Promise<void> {
  const header = Buffer.alloc(INDEX_HEADER_BYTES)
  const bytes = entries.bytes()
  header.writeUInt32LE(INDEX_MAGIC, 0)
  header.writeUInt32LE(crc32(bytes), 4)
  const path = indexPath(folder, segment)
  await writeFile(`${path}.new`, Buffer.concat([header, bytes]), { mode: 0o600 })
  await rename(`${path}.new`, path)
}

/** What a segment and its index file take as they lie, before its entries are known. */
export async function bytesOf(folder: string, segment: number): Promise<number> {
  let bytes = (await stat(segmentPath(folder, segment))).size
  try {
    bytes += (await stat(indexPath(folder, segment))).size
  } catch {
    // A start without it reads the records' headers.
  }
  return bytes
}

/** undefined when there is none, it is damaged, or it names bytes that a file of `size` has not. */
async function readIndex(
  folder: string,
  segment: number,
  size: number,
): Promise<SegmentEntries | undefined> {
  let file: Buffer
  try {
    file = await readFile(indexPath(folder, segment))
  } catch {
    return undefined
  }
  const room = file.length - INDEX_HEADER_BYTES
  if (room < 0 || room % INDEX_ENTRY_BYTES !== 0 || file.readUInt32LE(0) !== INDEX_MAGIC)
    return undefined
  const bytes = file.subarray(INDEX_HEADER_BYTES)
  if (file.readUInt32LE(4) !== crc32(bytes)) return undefined
  const words = new Uint32Array(Math.max(WORDS, bytes.length / 4))
  Buffer.from(words.buffer).set(bytes)
  const entries = new SegmentEntries(words, bytes.length / INDEX_ENTRY_BYTES)
  let end = SEGMENT_HEADER_BYTES
  for (let i = 0; i < entries.length; i++) {
    const length = entries.recordLength(i)
    if (entries.offset(i) !== end || length < RECORD_HEADER_BYTES || length > PLACE_LENGTH_MAX)
      return undefined
    end += length
  }
  return end <= size ? entries : undefined
}

/** The entries of a segment: from its index file, and behind what that covers from the records' own headers, up to the first torn one. */
export async function readEntries(
  folder: string,
  segment: number,
  file: FileHandle,
): Promise<SegmentEntries> {
  const { size } = await file.stat()
  const entries = (await readIndex(folder, segment, size)) ?? new SegmentEntries()
  const window = Buffer.alloc(SCAN_BYTES)
  let start = 0
  let held = 0
  for (let offset = entries.end; ; ) {
    if (offset + RECORD_HEADER_BYTES > start + held) {
      start = offset
      held = (await file.read(window, 0, window.length, start)).bytesRead
    }
    const header = readRecordHeader(window.subarray(0, held), offset - start)
    if (!header || offset + header.length > size) return entries
    const { kind, hash, length } = header
    entries.push({ kind: kind === 'gone' ? 'gone' : 'put', hash, offset, length })
    offset += length
  }
}
