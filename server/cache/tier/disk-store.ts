import { describeError } from '../../lib/errors.ts'
import { HashIndex, hashKey, type KeyHash } from './hash-index.ts'
import { IndexLoader } from './index-loader.ts'
import { ReadGate } from './read-gate.ts'
import { type RecordContent, type StoredRecord, readRecord, writeRecord } from './record.ts'
import type { Segment } from './segment.ts'
import { SegmentFolder, type SegmentFolderOptions } from './segment-folder.ts'
import { type WriteOperation, WriteQueue } from './write-queue.ts'

export interface DiskStoreOptions extends SegmentFolderOptions {
  /** Asked of a record that is about to outlive its segment. */
  readonly survives?: ((record: StoredRecord) => Promise<boolean>) | undefined
  /** A start waits for so many entries, the newest; the others come in while it serves. */
  readonly entriesAtStart?: number | undefined
}

export interface DiskStats {
  readonly bytes: number
  readonly diskBytes: number
  readonly records: number
  readonly indexBytes: number
  /** Records that were not taken because the disk could not follow. */
  readonly dropped: number
  readonly on: boolean
  /** What older segments hold is still being brought in: it is found from then on. */
  readonly loading: boolean
}

const MIB = 1024 * 1024
/** Bytes that wait to be written; of what comes above only what says that others count no more is kept, up to twice as many. */
const PENDING_BYTES_MAX = 32 * MIB
/** After so many bytes the index of the segment being written is saved: a start reads no more than that record by record. */
const SNAPSHOT_BYTES = 64 * MIB
/** Longest record, as part of a segment. */
const RECORD_PART = 0.25
/** Of a segment that goes, so much is written anew at most. */
const SURVIVING_PART = 0.5
/** Entries looked at in one turn of the event loop. */
const ENTRIES_AT_ONCE = 2000
const ENTRIES_AT_START = 100_000
const GONE: RecordContent = { kind: 'gone', key: '', meta: '', body: [] }

/**
 * Records in append-only segment files under a byte bound. The oldest segment goes first; what was asked for again in it is written
 * anew. A torn or damaged record is a miss. A disk that fails turns it off, with one line in the log.
 */
export class DiskStore {
  readonly #options: DiskStoreOptions
  readonly #index = new HashIndex()
  readonly #loader = new IndexLoader(this.#index)
  readonly #folder: SegmentFolder
  readonly #queue = new WriteQueue()
  readonly #gate = new ReadGate()
  #unsaved = 0
  #dropped = 0
  #loading: Promise<void> = Promise.resolve()
  #pump: Promise<void> | undefined
  #state: 'on' | 'closing' | 'off' = 'on'

  private constructor(options: DiskStoreOptions) {
    this.#options = options
    this.#folder = new SegmentFolder(options, this.#index)
  }

  /**
   * Never rejects: a folder that can't be used gives a store that is off. Of a large one the newest part is there; the older comes in
   * afterwards, while it serves.
   */
  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    const store = new DiskStore(options)
    try {
      await store.#load(await store.#folder.open())
    } catch (error) {
      await store.#fail(error)
    }
    return store
  }

  get stats(): DiskStats {
    return {
      bytes: this.#folder.bytes,
      diskBytes: this.#options.diskBytes,
      records: this.#index.size,
      indexBytes: this.#index.bytes,
      dropped: this.#dropped,
      on: this.#state !== 'off',
      loading: this.#loader.loading,
    }
  }

  hash(key: string): KeyHash {
    return hashKey(key, this.#folder.seed)
  }

  has(hash: KeyHash): boolean {
    return this.#index.has(hash) || this.#queue.has(hash)
  }

  /** Says that it was asked for again; false when it is not here. */
  visit(hash: KeyHash): boolean {
    this.#index.visit(hash)
    return this.has(hash)
  }

  /** The record of this key, written or about to be; undefined when it is not here or not whole. */
  async read(hash: KeyHash, key: string): Promise<StoredRecord | undefined> {
    const waiting = this.#queue.find(hash)
    const record = waiting ? asStored(waiting) : await this.#readAt(hash)
    if (!record || record.key !== key) return undefined
    this.#index.visit(hash)
    return record
  }

  /** Keeps a record in place of the former one of this key. False when it is too long, or too much waits already. */
  write(hash: KeyHash, content: RecordContent): boolean {
    if (this.#state !== 'on') return false
    const written = writeRecord(hash, content)
    const small = written && written.length <= this.#folder.segmentBytes * RECORD_PART
    const room = content.body.length > 0 ? PENDING_BYTES_MAX : PENDING_BYTES_MAX * 2
    if (!small || this.#queue.bytes + written.length > room) {
      this.#dropped++
      return false
    }
    // The former one is not to be found while this one waits.
    this.#index.remove(hash)
    this.#enqueue({ hash, kind: 'put', content, ...written, dead: false })
    return true
  }

  /** The record under this hash counts no more, also after a restart. */
  forget(hash: KeyHash): void {
    const queued = this.#queue.forget(hash)
    const unknown = this.#loader.loading
    this.#loader.forget(hash)
    if (!this.#index.remove(hash) && !queued && !unknown) return
    const gone = writeRecord(hash, GONE)
    if (gone && this.#state !== 'off')
      this.#enqueue({ hash, kind: 'gone', content: GONE, ...gone, dead: false })
  }

  /** Resolves when all that lay on the disk at the start can be found. */
  loaded(): Promise<void> {
    return this.#loading
  }

  /** Resolves when all that was given so far is on the disk. */
  async flushed(): Promise<void> {
    while (this.#pump) await this.#pump
  }

  async close(): Promise<void> {
    if (this.#state === 'off') return
    this.#state = 'closing'
    await this.#loading
    await this.flushed()
    const { head } = this.#folder
    if (head) await this.#folder.saveIndex(head)
    this.#state = 'off'
    this.#index.clear()
    await this.#folder.close()
  }

  /** Resolves once enough is there to begin with. */
  #load(newestFirst: readonly Segment[]): Promise<void> {
    return new Promise((resolve) => {
      this.#loading = this.#loadAll(newestFirst, resolve)
        .catch((error: unknown) => this.#fail(error))
        .finally(resolve)
    })
  }

  async #loadAll(newestFirst: readonly Segment[], begun: () => void): Promise<void> {
    let left = this.#options.entriesAtStart ?? ENTRIES_AT_START
    for (const segment of newestFirst) {
      const there = () => this.#folder.get(segment.number) === segment
      try {
        if (there()) await this.#folder.know(segment)
      } catch {
        await this.#folder.remove(segment)
      }
      if (!there()) continue
      // What is written meanwhile comes in by itself.
      const { length } = segment.entries
      left -= length
      if (left < 0) begun()
      await this.#loader.load(segment, length, () => this.#state !== 'on' || !there())
      if (this.#state !== 'on') return
    }
    this.#loader.end()
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
        let { head } = this.#folder
        if (!head || !this.#folder.fits(head, first.length, 1)) head = await this.#rotate()
        await this.#writeBatch(head)
      }
    } catch (error) {
      await this.#fail(error)
    }
  }

  async #writeBatch(head: Segment): Promise<void> {
    const batch = this.#queue.take((bytes, count) => this.#folder.fits(head, bytes, count))
    const live = batch.filter(({ dead }) => !dead)
    if (live.length > 0) await this.#append(head, live)
    for (const operation of batch) this.#queue.done(operation)
    if (this.#unsaved < SNAPSHOT_BYTES) return
    this.#unsaved = 0
    await this.#folder.saveIndex(head)
  }

  async #append(head: Segment, operations: readonly WriteOperation[]): Promise<void> {
    let offset = head.entries.end
    await this.#folder.append(
      head,
      operations.flatMap(({ parts }) => parts),
    )
    if (this.#state === 'off') return
    for (const { hash, kind, length, dead } of operations) {
      head.entries.push({ kind, hash, offset, length })
      // Forgotten while it was being written, or followed by another: that is the next to be written.
      if (kind === 'put' && !dead) this.#index.set(hash, { segment: head.number, offset, length })
      offset += length
      this.#unsaved += length
    }
    this.#folder.resized(head)
  }

  async #rotate(): Promise<Segment> {
    // Until then the oldest is not known, and it may have to go.
    await this.#loading
    const { head: former } = this.#folder
    if (former) await this.#folder.saveIndex(former)
    this.#unsaved = 0
    const head = await this.#folder.begin()
    // The oldest makes room while there is still one segment's worth, so that what survives has a place.
    if (this.#folder.crowded) await this.#recycle(head)
    return head
  }

  /** Takes the oldest segment away, writing anew what was asked for again in it. */
  async #recycle(head: Segment): Promise<void> {
    const { oldest } = this.#folder
    if (!oldest || oldest === head) return
    let room = this.#folder.segmentBytes * SURVIVING_PART
    for (let i = 0; i < oldest.entries.length; i++) {
      if (i % ENTRIES_AT_ONCE === ENTRIES_AT_ONCE - 1) await turn()
      const { hash, offset, length } = oldest.entries.at(i)
      if (length > room || !this.#index.isAt(hash, oldest.number, offset)) continue
      if (!this.#index.takeVisit(hash)) continue
      const record = await this.#readAt(hash)
      const keep = record && (await this.#options.survives?.(record))
      if (!record || keep === false) continue
      // Gone or replaced meanwhile.
      if (!this.#index.isAt(hash, oldest.number, offset)) continue
      const content = { ...record, body: [record.body] }
      const again = writeRecord(hash, content)
      if (!again) continue
      const operation: WriteOperation = { hash, kind: 'put', content, ...again, dead: false }
      this.#queue.begin(operation)
      await this.#append(head, [operation])
      this.#queue.done(operation)
      room -= length
    }
    await this.#folder.remove(oldest)
  }

  async #readAt(hash: KeyHash): Promise<StoredRecord | undefined> {
    const place = this.#index.find(hash)
    if (!place) return undefined
    const { segment: number, offset, length } = place
    const entered = this.#gate.enter(length)
    if (entered === false) return undefined
    if (entered) await entered
    try {
      const segment = this.#folder.get(number)
      if (!segment || !this.#index.isAt(hash, number, offset)) return undefined
      const bytes = Buffer.allocUnsafeSlow(length)
      const { bytesRead } = await segment.file.read(bytes, 0, length, offset)
      if (!this.#index.isAt(hash, number, offset)) return undefined
      const record = bytesRead === length ? readRecord(bytes) : undefined
      if (!record) this.forget(hash)
      return record
    } catch {
      // A place on the disk that can't be read: nothing else is lost with it.
      if (this.#index.isAt(hash, number, offset)) this.forget(hash)
      return undefined
    } finally {
      this.#gate.leave(length)
    }
  }

  async #fail(error: unknown): Promise<void> {
    if (this.#state === 'off') return
    this.#state = 'off'
    this.#options.log.warn('the disk tier of the cache is off until the next start', {
      folder: this.#options.folder,
      error: describeError(error),
    })
    this.#queue.clear()
    this.#index.clear()
    await this.#folder.close()
  }
}

function asStored({ kind, key, meta, body }: RecordContent): StoredRecord {
  return { kind, key, meta, body: Buffer.concat(body) }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
