import { type FileHandle, open } from 'node:fs/promises'
import { describeError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import type { Random } from '../../lib/random.ts'
import { HashIndex, hashKey, type KeyHash } from './hash-index.ts'
import { type RecordContent, type StoredRecord, readRecord, writeRecord } from './record.ts'
import {
  INDEX_ENTRY_BYTES,
  INDEX_HEADER_BYTES,
  listSegments,
  readEntries,
  readSegmentHeader,
  removeSegment,
  SegmentEntries,
  segmentPath,
  writeIndex,
  writeSegmentHeader,
} from './segment-files.ts'
import { type WriteOperation, WriteQueue } from './write-queue.ts'

export interface DiskStoreOptions {
  readonly folder: string
  /** Bound of all its files. */
  readonly diskBytes: number
  /** What the answers depend on besides their keys: under another one, what is there is thrown away. 32 bits. */
  readonly fingerprint: number
  readonly log: Log
  readonly random: Random
  /** Asked of a record that is about to outlive its segment. */
  readonly survives?: ((record: StoredRecord) => Promise<boolean>) | undefined
}

export interface DiskStats {
  readonly bytes: number
  readonly diskBytes: number
  readonly records: number
  readonly indexBytes: number
  /** Records that were not taken because the disk could not follow. */
  readonly dropped: number
  readonly on: boolean
}

interface Segment {
  readonly number: number
  readonly file: FileHandle
  readonly entries: SegmentEntries
  /** Entries that its index file covers. */
  covered: number
}
const MIB = 1024 * 1024
const SEGMENTS = 64
const SEGMENT_BYTES_MIN = 16 * MIB
// Offsets are 32 bits.
const SEGMENT_BYTES_MAX = 0xf000_0000
/** Bytes that wait to be written; what comes above is not kept. */
const PENDING_BYTES_MAX = 32 * MIB
/** After so many bytes the index of the segment being written is saved: a start reads no more than that record by record. */
const SNAPSHOT_BYTES = 64 * MIB
const READS_MAX = 64
/** Longest record, as part of a segment. */
const RECORD_PART = 0.25
/** Of a segment that goes, so much is written anew at most. */
const SURVIVING_PART = 0.5
/** Entries looked at in one turn of the event loop. */
const ENTRIES_AT_ONCE = 2000

/**
 * Records in append-only segment files under a byte bound. The oldest segment goes first; what was asked for again in it is written
 * anew. A torn or damaged record is a miss. A disk that fails turns it off, with one line in the log.
 */
export class DiskStore {
  readonly #options: DiskStoreOptions
  readonly #segmentBytes: number
  readonly #index = new HashIndex()
  /** Oldest first; the last one is written to. */
  readonly #segments = new Map<number, Segment>()
  readonly #queue = new WriteQueue()
  #seed: number
  #head: Segment | undefined
  #bytes = 0
  #unsaved = 0
  #reads = 0
  #dropped = 0
  #pump: Promise<void> | undefined
  #state: 'on' | 'closing' | 'off' = 'on'

  private constructor(options: DiskStoreOptions) {
    this.#options = options
    const { diskBytes } = options
    const least = Math.min(SEGMENT_BYTES_MIN, diskBytes / 4)
    this.#segmentBytes = Math.floor(
      Math.min(SEGMENT_BYTES_MAX, Math.max(least, diskBytes / SEGMENTS)),
    )
    this.#seed = options.random.bytes(4).readUInt32LE(0)
  }

  /** Never rejects: a folder that can't be used gives a store that is off. */
  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    const store = new DiskStore(options)
    try {
      await store.#load()
    } catch (error) {
      await store.#fail(error)
    }
    return store
  }

  get stats(): DiskStats {
    return {
      bytes: this.#bytes,
      diskBytes: this.#options.diskBytes,
      records: this.#index.size,
      indexBytes: this.#index.bytes,
      dropped: this.#dropped,
      on: this.#state !== 'off',
    }
  }

  hash(key: string): KeyHash {
    return hashKey(key, this.#seed)
  }

  has(hash: KeyHash): boolean {
    return this.#index.has(hash)
  }

  /** Says that it was asked for again; false when it is not here. */
  visit(hash: KeyHash): boolean {
    this.#index.visit(hash)
    return this.#index.has(hash)
  }

  /** The record of this key; undefined when it is not here or not whole. */
  async read(hash: KeyHash, key: string): Promise<StoredRecord | undefined> {
    if (this.#reads >= READS_MAX) return undefined
    const record = await this.#readAt(hash)
    if (!record || record.key !== key) return undefined
    this.#index.visit(hash)
    return record
  }

  /** Keeps a record in place of the former one of this key. False when it is too long, or too much waits already. */
  write(hash: KeyHash, content: RecordContent): boolean {
    if (this.#state !== 'on') return false
    const written = writeRecord(hash, content)
    const small = written && written.length <= this.#segmentBytes * RECORD_PART
    if (!small || this.#queue.bytes + written.length > PENDING_BYTES_MAX) {
      this.#dropped++
      return false
    }
    this.#enqueue({ hash, kind: 'put', ...written, dead: false })
    return true
  }

  /** The record under this hash counts no more, also after a restart. */
  forget(hash: KeyHash): void {
    const queued = this.#queue.forget(hash)
    if (!this.#index.remove(hash) && !queued) return
    const gone = writeRecord(hash, { kind: 'gone', key: '', meta: '', body: [] })
    if (gone && this.#state !== 'off') this.#enqueue({ hash, kind: 'gone', ...gone, dead: false })
  }

  /** Resolves when all that was given so far is on the disk. */
  async flushed(): Promise<void> {
    while (this.#pump) await this.#pump
  }

  async close(): Promise<void> {
    if (this.#state === 'off') return
    this.#state = 'closing'
    await this.flushed()
    try {
      if (this.#head) await this.#saveIndex(this.#head)
    } catch (error) {
      await this.#fail(error)
    }
    this.#state = 'off'
    await this.#closeFiles()
  }

  async #load(): Promise<void> {
    const { folder, diskBytes, fingerprint } = this.#options
    let seeded = false
    for (const number of await listSegments(folder)) {
      const file = await open(segmentPath(folder, number), 'r+')
      const header = await readSegmentHeader(file)
      const ours = header?.fingerprint === fingerprint && (!seeded || header.seed === this.#seed)
      if (!header || !ours) {
        await file.close()
        await removeSegment(folder, number)
        continue
      }
      this.#seed = header.seed
      seeded = true
      const entries = await readEntries(folder, number, file)
      const segment = { number, file, entries, covered: 0 }
      this.#segments.set(number, segment)
      this.#bytes += sizeOf(entries)
      for (let i = 0; i < entries.length; i++) {
        const { kind, hash, offset, length } = entries.at(i)
        if (kind === 'gone') this.#index.remove(hash)
        else this.#index.set(hash, { segment: number, offset, length })
      }
      this.#head = segment
    }
    // What a killed writer left behind its last whole record.
    if (this.#head) await this.#head.file.truncate(this.#head.entries.end)
    for (const segment of this.#segments.values())
      if (this.#bytes + this.#segmentBytes > diskBytes) await this.#remove(segment)
  }

  #enqueue(operation: WriteOperation): void {
    this.#queue.push(operation)
    this.#pump ??= this.#run().finally(() => {
      this.#pump = undefined
    })
  }

  async #run(): Promise<void> {
    try {
      // What comes in one turn goes out in one write.
      await turn()
      for (;;) {
        const { first } = this.#queue
        if (!first || this.#state === 'off') return
        if (!this.#head || !this.#fits(this.#head, first.length, 1)) await this.#rotate()
        if (this.#head) await this.#writeBatch(this.#head)
      }
    } catch (error) {
      await this.#fail(error)
    }
  }

  async #writeBatch(head: Segment): Promise<void> {
    const batch = this.#queue.take((bytes, count) => this.#fits(head, bytes, count))
    const live = batch.filter(({ dead }) => !dead)
    if (live.length > 0) await this.#append(head, live)
    for (const operation of batch) this.#queue.done(operation)
    if (this.#unsaved >= SNAPSHOT_BYTES) await this.#saveIndex(head)
  }

  async #append(head: Segment, operations: readonly WriteOperation[]): Promise<void> {
    let offset = head.entries.end
    await writeAll(
      head.file,
      operations.flatMap(({ parts }) => parts),
      offset,
    )
    if (this.#state === 'off') return
    for (const { hash, kind, length, dead } of operations) {
      head.entries.push({ kind, hash, offset, length })
      // Forgotten while it was being written: its `gone` is the next to be written.
      if (kind === 'put' && !dead) this.#index.set(hash, { segment: head.number, offset, length })
      offset += length
      this.#bytes += length + INDEX_ENTRY_BYTES
      this.#unsaved += length
    }
  }

  async #rotate(): Promise<void> {
    const { folder, fingerprint, diskBytes } = this.#options
    if (this.#head) await this.#saveIndex(this.#head)
    const number = (this.#head?.number ?? 0) + 1
    this.#head = undefined
    while (this.#bytes + this.#segmentBytes > diskBytes && (await this.#removeOldest()));
    const file = await open(segmentPath(folder, number), 'w+', 0o600)
    const head = { number, file, entries: new SegmentEntries(), covered: 0 }
    this.#segments.set(number, head)
    this.#bytes += sizeOf(head.entries)
    await writeAll(file, [writeSegmentHeader({ seed: this.#seed, fingerprint })], 0)
    this.#head = head
    // The oldest makes room while there is still one segment's worth, so that what survives has a place.
    if (this.#bytes + 2 * this.#segmentBytes > diskBytes) await this.#recycle(head)
  }

  /** Takes the oldest segment away, writing anew what was asked for again in it. */
  async #recycle(head: Segment): Promise<void> {
    const [oldest] = this.#segments.values()
    if (!oldest || oldest === head) return
    let room = this.#segmentBytes * SURVIVING_PART
    for (let i = 0; i < oldest.entries.length; i++) {
      if (i % ENTRIES_AT_ONCE === ENTRIES_AT_ONCE - 1) await turn()
      const { hash, offset, length } = oldest.entries.at(i)
      if (length > room || !this.#index.isAt(hash, oldest.number, offset)) continue
      if (!this.#index.takeVisit(hash)) continue
      const record = await this.#readAt(hash)
      const keep = record && (await this.#options.survives?.(record))
      if (!record || keep === false) continue
      if (!this.#index.isAt(hash, oldest.number, offset)) continue
      const again = writeRecord(hash, { ...record, body: [record.body] })
      if (!again) continue
      // A newer one waits already.
      if (this.#queue.has(hash)) continue
      const operation: WriteOperation = { hash, kind: 'put', ...again, dead: false }
      this.#queue.begin(operation)
      await this.#append(head, [operation])
      this.#queue.done(operation)
      room -= length
    }
    await this.#remove(oldest)
  }

  async #removeOldest(): Promise<boolean> {
    const [oldest] = this.#segments.values()
    if (oldest) await this.#remove(oldest)
    return oldest !== undefined
  }

  async #remove(segment: Segment): Promise<void> {
    this.#segments.delete(segment.number)
    if (this.#head === segment) this.#head = undefined
    for (let i = 0; i < segment.entries.length; i++) {
      if (i % ENTRIES_AT_ONCE === ENTRIES_AT_ONCE - 1) await turn()
      const { hash, offset } = segment.entries.at(i)
      if (this.#index.isAt(hash, segment.number, offset)) this.#index.remove(hash)
    }
    await segment.file.close()
    await removeSegment(this.#options.folder, segment.number)
    this.#bytes -= sizeOf(segment.entries)
  }

  async #readAt(hash: KeyHash): Promise<StoredRecord | undefined> {
    const place = this.#index.find(hash)
    const segment = place && this.#segments.get(place.segment)
    if (!place || !segment) return undefined
    const bytes = Buffer.allocUnsafeSlow(place.length)
    this.#reads++
    try {
      const { bytesRead } = await segment.file.read(bytes, 0, place.length, place.offset)
      if (!this.#index.isAt(hash, place.segment, place.offset)) return undefined
      const record = bytesRead === place.length ? readRecord(bytes) : undefined
      if (!record) this.forget(hash)
      return record
    } catch (error) {
      if (this.#segments.get(place.segment) === segment) await this.#fail(error)
      return undefined
    } finally {
      this.#reads--
    }
  }

  async #saveIndex(segment: Segment): Promise<void> {
    this.#unsaved = 0
    if (segment.covered === segment.entries.length) return
    const { length } = segment.entries
    await writeIndex(this.#options.folder, segment.number, segment.entries)
    segment.covered = length
  }

  #fits({ entries }: Segment, bytes: number, records: number): boolean {
    return sizeOf(entries) + bytes + records * INDEX_ENTRY_BYTES <= this.#segmentBytes
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#state === 'off') return
    this.#state = 'off'
    this.#options.log.warn('the disk tier of the cache is off until the next start', {
      folder: this.#options.folder,
      error: describeError(error),
    })
    this.#queue.clear()
    await this.#closeFiles()
  }

  async #closeFiles(): Promise<void> {
    const segments = [...this.#segments.values()]
    this.#segments.clear()
    this.#head = undefined
    this.#index.clear()
    await Promise.allSettled(segments.map(({ file }) => file.close()))
  }
}

function sizeOf(entries: SegmentEntries): number {
  return entries.end + INDEX_HEADER_BYTES + entries.length * INDEX_ENTRY_BYTES
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** All of it: a short write is a disk that is full. */
async function writeAll(
  file: FileHandle,
  parts: readonly Uint8Array[],
  position: number,
): Promise<void> {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const { bytesWritten } = await file.writev([...parts], position)
  if (bytesWritten !== length) throw new Error(`wrote ${bytesWritten} of ${length} bytes`)
}
