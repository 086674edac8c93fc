import { INDEX_NAME, writeRecordingIndex } from '../formats/recording/recording-index.ts'
import { collect } from '../lib/bytes.ts'
import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { type Deferred, deferred } from '../lib/deferred.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Chapter } from './chapter.ts'
import type { RenditionId } from './window-event.ts'

export interface DeliveryDeps {
  /** Where the recording goes. */
  readonly store: ObjectStore
  readonly clock: Clock
  readonly log: Log
  /** A segment was given up, so nothing has it. */
  readonly onLost: (rendition: RenditionId, sequence: number) => void
  /** Once for each time that the store cannot be written, and once for what is given up meanwhile. */
  readonly onFailing: (reason: string) => void
  /** All objects and the last index are written; it counts as delivered when this is done. */
  readonly beforeDone: () => Promise<void>
  readonly onDelivered: () => void
}

/** An object on its way. */
export interface DeliveryItem {
  readonly uri: string
  readonly bytes: number
  readonly rendition: RenditionId
  /** undefined for an init section, which is never given up. */
  readonly sequence: number | undefined
  readonly type: string
}

const AT_ONCE = 4
const WHOLE_BYTES_MAX = 8 * 1024 * 1024
const WRITE_MS = 30_000
/** A long segment over a slow line is given more. */
const SLOW_BYTES_PER_MS = 100
const REST_FIRST_MS = 500
const REST_MAX_MS = 30_000
/** An index of a running recording is written again when it has grown by so much: together they cost a few times the last one. */
const INDEX_GROWTH = 1.25
const INDEX_STEP = 10

/**
 * Brings the objects of a recording from the local disk to the store it is recorded to, for as long as it takes; they leave
 * the local disk then. Its queue is what lies there.
 */
export class Delivery {
  readonly #chapter: Chapter
  readonly #deps: DeliveryDeps
  readonly #stop = new AbortController()
  readonly #done = deferred()
  #queue: DeliveryItem[] = []
  #waitingBytes = 0
  #woken: Deferred<void> = deferred()
  #ended = false
  #known = 0
  #indexAt = 1
  #restMs = REST_FIRST_MS
  #failing = false
  #givenUp = 0

  constructor(chapter: Chapter, deps: DeliveryDeps) {
    this.#chapter = chapter
    this.#deps = deps
    void this.#run()
  }

  /** On the local disk, not yet where they belong. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }
  get failing(): boolean {
    return this.#failing
  }

  add(item: DeliveryItem): void {
    this.#queue.push(item)
    this.#waitingBytes += item.bytes
    if (item.sequence !== undefined) this.#known++
    this.#woken.resolve()
  }

  /** The oldest segment that waits becomes a gap; false when there is none but those that are being written. */
  giveUpOldest(): boolean {
    const item = this.#queue.slice(AT_ONCE).find(({ sequence }) => sequence !== undefined)
    if (item?.sequence === undefined) return false
    const { rendition, sequence, uri } = item
    this.#drop(item)
    this.#givenUp++
    if (this.#givenUp === 1) {
      this.#deps.log.warn('segments of a recording are given up: too much waits for its store', {
        recording: this.#chapter.place,
        rendition,
        sequence,
      })
      this.#deps.onFailing('segments are missing: too much waited for its store')
    }
    void this.#forget(rendition, sequence, uri)
    return true
  }

  /** Nothing is added any more: the last index is written behind what waits. */
  end(): void {
    this.#ended = true
    this.#woken.resolve()
  }

  /** Resolves when all is delivered, or after `ms`; what is left then lies on the disk for the next start. */
  async settle(ms: number): Promise<void> {
    const late = deferred()
    using _ = this.#deps.clock.after(ms, () => late.resolve())
    await Promise.race([this.#done.promise, late.promise])
  }

  stop(): void {
    this.#stop.abort()
    this.#woken.resolve()
    this.#done.resolve()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      const batch = this.#queue.slice(0, AT_ONCE)
      try {
        if (batch.length === 0 && (await this.#restOrFinish())) return
        const results = await Promise.allSettled(batch.map((item) => this.#deliver(item)))
        const failed = results.find((result) => result.status === 'rejected')
        if (failed) throw failed.reason
        if (this.#known >= this.#indexAt) await this.#writeIndex(false)
        this.#recovered()
      } catch (error) {
        if (signal.aborted) return
        await this.#rest(error)
      }
    }
  }

  /** Nothing waits. True when all is done. */
  async #restOrFinish(): Promise<boolean> {
    if (this.#ended) {
      await this.#writeIndex(true)
      await this.#deps.beforeDone()
      await this.#chapter.note({ kind: 'done' })
      this.#chapter.delivered = true
      this.#recovered()
      this.#deps.onDelivered()
      this.#done.resolve()
      return true
    }
    this.#woken = deferred()
    await this.#woken.promise
    return false
  }

  async #deliver(item: DeliveryItem): Promise<void> {
    const { uri, rendition, sequence, type } = item
    const key = this.#chapter.place + uri
    if (!(await this.#copy(uri, key, type)) && !(await this.#isThere(key))) {
      this.#drop(item)
      if (sequence === undefined) return
      await this.#chapter.lose(rendition, sequence)
      this.#deps.onLost(rendition, sequence)
      return
    }
    if (sequence !== undefined) await this.#chapter.note({ kind: 'moved', rendition, sequence })
    await this.#chapter.remove(uri)
    this.#drop(item)
  }

  #drop(item: DeliveryItem): void {
    const at = this.#queue.indexOf(item)
    if (at < 0) return
    this.#queue.splice(at, 1)
    this.#waitingBytes -= item.bytes
  }

  async #writeIndex(ended: boolean): Promise<void> {
    const bytes = await writeRecordingIndex(this.#chapter.index(ended))
    const key = this.#chapter.place + INDEX_NAME
    await this.#write(key, bytes, bytes.length, 'application/x-ndjson')
    this.#indexAt = Math.max(this.#known + INDEX_STEP, Math.ceil(this.#known * INDEX_GROWTH))
  }

  /** False when it is not on the local disk. */
  async #copy(uri: string, key: string, type: string): Promise<boolean> {
    const { signal } = this.#stop
    const reading = new AbortController()
    const stop = () => reading.abort(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    try {
      const found = await this.#chapter.open(uri, reading.signal)
      if (!found) return false
      // A file is not held open for a store that stands still, unless it is a large one.
      const body = found.length > WHOLE_BYTES_MAX ? found.body : await collect(found.body)
      await this.#write(key, body, found.length, type)
      return true
    } finally {
      signal.removeEventListener('abort', stop)
      // Frees what a store that failed has not read.
      reading.abort()
    }
  }

  async #isThere(key: string): Promise<boolean> {
    return (await this.#deps.store.stat(key, this.#stop.signal)) !== undefined
  }

  async #write(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    size: number,
    contentType: string,
  ): Promise<void> {
    const { store, clock } = this.#deps
    const ms = WRITE_MS + size / SLOW_BYTES_PER_MS
    await withDeadline(clock, ms, `writing ${key}`, this.#stop.signal, (signal) =>
      store.write(key, body, { contentType, size, signal }),
    )
  }

  async #forget(rendition: RenditionId, sequence: number, uri: string): Promise<void> {
    try {
      await this.#chapter.lose(rendition, sequence)
      await this.#chapter.remove(uri)
    } catch (error) {
      this.#deps.log.warn('a segment that was given up cannot be removed', {
        reason: describeError(error),
      })
    }
    this.#deps.onLost(rendition, sequence)
  }

  #recovered(): void {
    this.#restMs = REST_FIRST_MS
    if (!this.#failing) return
    this.#failing = false
    this.#deps.log.info('the store of a recording can be written again', {
      recording: this.#chapter.place,
      givenUp: this.#givenUp,
    })
    this.#givenUp = 0
  }

  async #rest(error: unknown): Promise<void> {
    const { clock, log } = this.#deps
    if (!this.#failing) {
      this.#failing = true
      const reason = describeError(error)
      log.warn('the store of a recording cannot be written; what is recorded waits on the disk', {
        recording: this.#chapter.place,
        reason,
      })
      this.#deps.onFailing(`its store cannot be written: ${reason}`)
    }
    const ms = this.#restMs
    this.#restMs = Math.min(REST_MAX_MS, ms * 2)
    try {
      await clock.sleep(ms, this.#stop.signal)
    } catch {
      // Stopped meanwhile: the loop sees it.
    }
  }
}
