import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { describeError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Random } from '../../lib/random.ts'
import type { HashIndex } from './hash-index.ts'
import { hasSystemCode, isFull, newSegment, type Segment, sizeOf, writeAll } from './segment.ts'
import {
  bytesOf,
  INDEX_ENTRY_BYTES,
  listSegments,
  readEntries,
  readSegmentHeader,
  removeSegment,
  segmentPath,
  writeIndex,
  writeSegmentHeader,
} from './segment-files.ts'

export interface SegmentFolderOptions {
  readonly folder: string
  /** Bound of all its files. */
  readonly diskBytes: number
  /** What the answers depend on besides their keys: under another one, what is there is thrown away. 32 bits. */
  readonly fingerprint: number
  readonly log: Log
  readonly random: Random
  /** How files are opened: node's `open` unless a test fails in its place. */
  readonly openFile?:
    | ((path: string, flags: string, mode?: number) => Promise<FileHandle>)
    | undefined
}

const MIB = 1024 * 1024
const SEGMENTS = 64
const SEGMENT_BYTES_MIN = 16 * MIB
// Offsets are 32 bits.
const SEGMENT_BYTES_MAX = 0xf000_0000
/** Entries looked at in one turn of the event loop. */
const ENTRIES_AT_ONCE = 2000

/** The segment files of a tier under one byte bound, and what of them the index names. */
export class SegmentFolder {
  readonly segmentBytes: number
  readonly #options: SegmentFolderOptions
  readonly #index: HashIndex
  /** Oldest first. */
  readonly #segments = new Map<number, Segment>()
  /** Less than configured once the disk was full. */
  #bytesMax: number
  #seed: number
  #bytes = 0
  #head: Segment | undefined
  #newest = 0
  #remade = false

  constructor(options: SegmentFolderOptions, index: HashIndex) {
    this.#options = options
    this.#index = index
    const { diskBytes } = options
    this.#bytesMax = diskBytes
    const least = Math.min(SEGMENT_BYTES_MIN, diskBytes / 4)
    this.segmentBytes = Math.floor(
      Math.min(SEGMENT_BYTES_MAX, Math.max(least, diskBytes / SEGMENTS)),
    )
    this.#seed = options.random.bytes(4).readUInt32LE(0)
  }

  /** Of the hashes in all segments. */
  get seed(): number {
    return this.#seed
  }
  get bytes(): number {
    return this.#bytes
  }
  /** The one that is written to. */
  get head(): Segment | undefined {
    return this.#head
  }
  get oldest(): Segment | undefined {
    const [oldest] = this.#segments.values()
    return oldest
  }
  /** So little room is left that the oldest should go while what survives of it has a place. */
  get crowded(): boolean {
    return this.#bytes + 2 * this.segmentBytes > this.#bytesMax
  }

  get(number: number): Segment | undefined {
    return this.#segments.get(number)
  }

  /** Opens what is there, the newest first. Only that one's entries are known, the others when `know` has read them. */
  async open(): Promise<readonly Segment[]> {
    const { folder, fingerprint } = this.#options
    const newestFirst: Segment[] = []
    for (const number of [...(await listSegments(folder))].reverse()) {
      const file = await this.#openFile(segmentPath(folder, number), 'r+')
      const header = await readSegmentHeader(file)
      const seeded = newestFirst.length > 0
      if (header?.fingerprint !== fingerprint || (seeded && header.seed !== this.#seed)) {
        await file.close()
        await removeSegment(folder, number)
        continue
      }
      this.#seed = header.seed
      const bytes = await bytesOf(folder, number)
      newestFirst.push({ ...newSegment(number, file), known: false, bytes })
      this.#bytes += bytes
    }
    for (const segment of [...newestFirst].reverse()) this.#segments.set(segment.number, segment)
    const [head] = newestFirst
    this.#head = head
    this.#newest = head?.number ?? 0
    if (head) {
      await this.know(head)
      // What a killed writer left behind its last whole record.
      await head.file.truncate(head.entries.end)
    }
    for (const segment of this.#segments.values())
      if (this.#bytes + this.segmentBytes > this.#bytesMax) await this.remove(segment)
    return newestFirst.filter(({ number }) => this.#segments.has(number))
  }

  /** Reads what a segment holds. */
  async know(segment: Segment): Promise<void> {
    if (segment.known) return
    const entries = await readEntries(this.#options.folder, segment.number, segment.file)
    if (this.#segments.get(segment.number) !== segment) return
    segment.entries = entries
    segment.known = true
    this.resized(segment)
  }

  /** Its entries are others now. */
  resized(segment: Segment): void {
    const bytes = sizeOf(segment.entries)
    this.#bytes += bytes - segment.bytes
    segment.bytes = bytes
  }

  fits({ entries }: Segment, bytes: number, records: number): boolean {
    return sizeOf(entries) + bytes + records * INDEX_ENTRY_BYTES <= this.segmentBytes
  }

  /** A new segment to write to; the oldest ones go where the bound wants it. */
  async begin(): Promise<Segment> {
    const { fingerprint } = this.#options
    this.#head = undefined
    while (this.#bytes + this.segmentBytes > this.#bytesMax && (await this.#removeOldest()));
    this.#newest++
    const file = await this.#create(this.#newest)
    const head = newSegment(this.#newest, file)
    this.#segments.set(head.number, head)
    this.#bytes += head.bytes
    await writeAll(file, [writeSegmentHeader({ seed: this.#seed, fingerprint })], 0)
    this.#head = head
    return head
  }

  /** Writes behind the last record of the head. On a full disk the oldest segments go, until it fits or there are none. */
  async append(head: Segment, parts: readonly Uint8Array[]): Promise<void> {
    for (;;) {
      try {
        return await writeAll(head.file, parts, head.entries.end)
      } catch (error) {
        if (!isFull(error) || !(await this.#giveWay(head))) throw error
      }
    }
  }

  async remove(segment: Segment): Promise<void> {
    if (!this.#segments.delete(segment.number)) return
    if (this.#head === segment) this.#head = undefined
    const { entries, number } = segment
    for (let i = 0; i < entries.length; i++) {
      if (i % ENTRIES_AT_ONCE === ENTRIES_AT_ONCE - 1)
        await new Promise<void>((resolve) => setImmediate(resolve))
      const { hash, offset } = entries.at(i)
      if (this.#index.isAt(hash, number, offset)) this.#index.remove(hash)
    }
    await segment.file.close()
    await removeSegment(this.#options.folder, number)
    this.#bytes -= segment.bytes
  }

  /** An index file spares a start reading; without one it reads the records' headers. */
  async saveIndex(segment: Segment): Promise<void> {
    const { folder, log } = this.#options
    const { length } = segment.entries
    if (segment.covered === length) return
    try {
      await writeIndex(folder, segment.number, segment.entries)
      segment.covered = length
    } catch (error) {
      const said = { folder, error: describeError(error) }
      log.warn('an index file of the disk tier was not written', said)
    }
  }

  async close(): Promise<void> {
    const segments = [...this.#segments.values()]
    this.#segments.clear()
    this.#head = undefined
    await Promise.allSettled(segments.map(({ file }) => file.close()))
  }

  /** Others write to this disk too. From now on the tier takes a segment less. */
  async #giveWay(head: Segment): Promise<boolean> {
    const { oldest } = this
    if (!oldest || oldest === head) return false
    const { folder, log } = this.#options
    this.#bytesMax = Math.min(this.#bytesMax, this.#bytes)
    const said = { folder, bytes: this.#bytesMax }
    log.warn('the disk is full: the disk tier of the cache takes less from now on', said)
    await this.remove(oldest)
    return true
  }

  async #removeOldest(): Promise<boolean> {
    const { oldest } = this
    if (oldest) await this.remove(oldest)
    return oldest !== undefined
  }

  /** A file for a new segment: for want of handles or of room, in place of the oldest one. */
  async #create(number: number): Promise<FileHandle> {
    const { folder } = this.#options
    for (;;) {
      try {
        return await this.#openFile(segmentPath(folder, number), 'w+', 0o600)
      } catch (error) {
        const scarce = isFull(error) || hasSystemCode(error, ['EMFILE', 'ENFILE'])
        if (hasSystemCode(error, ['ENOENT']) && !this.#remade) {
          // Somebody took the folder away; what is open in it can be read on.
          this.#remade = true
          await mkdir(folder, { recursive: true, mode: 0o700 })
        } else if (!scarce || !(await this.#removeOldest())) throw error
      }
    }
  }

  #openFile(path: string, flags: string, mode?: number): Promise<FileHandle> {
    return (this.#options.openFile ?? open)(path, flags, mode)
  }
}
