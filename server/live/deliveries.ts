import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { segmentUri } from './address.ts'
import type { JournalEntry } from './archive-journal.ts'
import type { Chapter } from './chapter.ts'
import { Delivery, type DeliveryItem } from './delivery.ts'
import type { RenditionId } from './window-event.ts'

export interface DeliveriesDeps {
  readonly storeOf: (origin: string) => ObjectStore
  /** What may wait on the local disk, of all recordings together; above, the oldest segments are given up. */
  readonly queueBytes: number
  readonly clock: Clock
  readonly log: Log
  /** A segment was given up, so nothing has it. */
  readonly onLost: (chapter: Chapter, rendition: RenditionId, sequence: number) => void
  readonly onFailing: (chapter: Chapter, reason: string) => void
  /** Everything is in its store; the recording counts as delivered when this is done. */
  readonly beforeDone: (chapter: Chapter) => Promise<void>
  readonly onDelivered: (chapter: Chapter) => void
}

export type Kept = Pick<DeliveryItem, 'uri' | 'bytes' | 'sequence'>

/** The recordings that are on their way to their stores, under one bound of local disk. */
export class Deliveries {
  readonly #deps: DeliveriesDeps
  readonly #running = new Map<Chapter, Delivery>()

  constructor(deps: DeliveriesDeps) {
    this.#deps = deps
  }

  of(chapter: Chapter): Pick<Delivery, 'waitingBytes' | 'failing'> | undefined {
    return this.#running.get(chapter)
  }

  /** Of a recording that is not delivered. */
  begin(chapter: Chapter): void {
    const { record } = chapter.head
    if (record === undefined || chapter.delivered) return
    const { storeOf, clock, log, onLost, onFailing, beforeDone, onDelivered } = this.#deps
    const delivery = new Delivery(chapter, {
      store: storeOf(record),
      clock,
      log,
      onLost: (rendition, sequence) => onLost(chapter, rendition, sequence),
      onFailing: (reason) => onFailing(chapter, reason),
      beforeDone: () => beforeDone(chapter),
      onDelivered: () => {
        this.#running.delete(chapter)
        log.info('a recording is complete', { recording: chapter.place })
        onDelivered(chapter)
      },
    })
    this.#running.set(chapter, delivery)
  }

  /** What a process that was killed had not brought there. */
  resume(chapter: Chapter, entries: readonly JournalEntry[]): void {
    this.begin(chapter)
    const moved = new Set<string>()
    for (const entry of entries)
      if (entry.kind === 'moved') moved.add(`${entry.rendition} ${entry.sequence}`)
    for (const [rendition, { inits, segments }] of chapter.renditions) {
      for (const uri of inits) this.add(chapter, rendition, { uri, bytes: 0, sequence: undefined })
      for (const segment of segments) {
        const { sequence, bytes, gap } = segment
        if (gap || moved.has(`${rendition} ${sequence}`)) continue
        this.add(chapter, rendition, { uri: segmentUri(rendition, segment), bytes, sequence })
      }
    }
  }

  /** An object that lies on the local disk. */
  add(chapter: Chapter, rendition: RenditionId, kept: Kept): void {
    const audio = chapter.renditions.get(rendition)?.facts.kind === 'audio'
    const type = audio ? 'audio/mp4' : 'video/mp4'
    this.#running.get(chapter)?.add({ ...kept, rendition, type })
    this.#keepBound()
  }

  /** Nothing is added to it any more. */
  end(chapter: Chapter): void {
    this.#running.get(chapter)?.end()
  }

  /** Gives the stores up to `ms` for what is on its way, then stops. */
  async close(ms: number): Promise<void> {
    await Promise.all([...this.#running.values()].map((one) => one.settle(ms)))
    for (const one of this.#running.values()) one.stop()
  }

  /** Who has most waiting gives up its oldest. */
  #keepBound(): void {
    const all = [...this.#running.values()]
    let waiting = all.reduce((sum, { waitingBytes }) => sum + waitingBytes, 0)
    while (waiting > this.#deps.queueBytes) {
      const most = all.reduce((a, b) => (b.waitingBytes > a.waitingBytes ? b : a))
      const before = most.waitingBytes
      if (!most.giveUpOldest()) return
      waiting -= before - most.waitingBytes
    }
  }
}
