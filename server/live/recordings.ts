import {
  INDEX_NAME,
  isRecordingStart,
  type RecordingIndex,
  writeRecordingIndex,
} from '../formats/recording/recording-index.ts'
import { leadOf } from '../formats/recording/recording-totals.ts'
import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { type Random, readableToken } from '../lib/random.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { Archives } from './archives.ts'
import type { StoredMedia } from './chapter.ts'
import { cutClip } from './cut-clip.ts'
import type { CatalogueRow, RecordingCatalogue } from './recording-catalogue.ts'
import { RecordingIndexes } from './recording-indexes.ts'
import { foldersIn, namedObjects, removeObjects } from './recording-objects.ts'

export interface RecordingsDeps {
  readonly archives: Pick<Archives, 'running' | 'originOf' | 'states' | 'read' | 'discard'>
  readonly catalogue: RecordingCatalogue
  readonly storeOf: (origin: string) => ObjectStore
  /** The origin that is recorded to; undefined: nothing is. */
  readonly record: string | undefined
  /** Where a recording is looked for that nobody here knows. */
  readonly elsewhere: string
  /** How long a recording is kept after its end; 0 for ever. Clips stay. */
  readonly retentionSeconds: number
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** It plays no longer: what caches hold below `/vod/KEY/` is to go. */
  readonly onRemoved: (key: string) => void
}

/** A recording or clip as the operator sees it. Times in milliseconds since 1970. */
export interface RecordingReport {
  readonly stream: string
  /** START of a recording, ID of a clip. */
  readonly id: string
  /** `recordings/NAME/START`, `recordings/NAME/clips/ID`: plays at `/vod/KEY/index.m3u8`. */
  readonly key: string
  readonly origin: string
  /** `finishing`: the stream is over, the last of it is on its way to the store. */
  readonly state: 'recording' | 'finishing' | 'complete' | 'removing'
  /** Of a clip: the recording it is cut from. */
  readonly of?: string | undefined
  readonly from: number
  readonly to: number
  readonly seconds: number
  readonly bytes: number
  readonly missingSegments: number
  /** On this machine's disk, not yet in the store. */
  readonly waitingBytes: number
  /** The store cannot be written at the moment. */
  readonly storeFails: boolean
}

/** Milliseconds since 1970, or seconds before the live edge (the end, where nothing is live). */
export type ClipTime = { readonly at: number } | { readonly secondsBack: number }

export interface ClipRequest {
  readonly stream: string
  /** START of a recording; the one that has `from` unless given. */
  readonly recording?: string | undefined
  readonly from: ClipTime
  readonly to: ClipTime
}

interface Source {
  readonly start: string
  readonly origin: string
  readonly from: number
  readonly to: number
}

const WRITE_MS = 20_000
const REMOVE_MS = 10 * 60_000
const SWEEP_MIN_MS = 1000
const SWEEP_MAX_MS = 60_000
const CLIP_ID_LENGTH = 10

/** All recordings and clips of this server: found, listed, cut and removed. */
export class Recordings {
  readonly #deps: RecordingsDeps
  readonly #indexes: RecordingIndexes
  readonly #sweeping: Disposable
  readonly #stop = new AbortController()
  readonly #atWork = new Set<string>()

  constructor(deps: RecordingsDeps) {
    this.#deps = deps
    this.#indexes = new RecordingIndexes(deps)
    const { clock, retentionSeconds } = deps
    const often = retentionSeconds > 0 ? retentionSeconds * 100 : SWEEP_MAX_MS
    const ms = Math.min(SWEEP_MAX_MS, Math.max(SWEEP_MIN_MS, often))
    this.#sweeping = clock.every(ms, () => this.#sweep())
  }

  close(): void {
    this.#sweeping[Symbol.dispose]()
    this.#stop.abort()
  }

  /** As it can be played now; undefined when there is no such recording or clip. */
  async find(key: string): Promise<RecordingIndex | undefined> {
    const { archives, catalogue } = this.#deps
    if (catalogue.isRemoving(key)) return undefined
    return archives.running(key) ?? this.#indexes.find(key, this.#originOf(key))
  }

  /** An object of it, wherever that is now. */
  async read(key: string, uri: string, signal: AbortSignal): Promise<StoredMedia | undefined> {
    const index = await this.find(key)
    if (!index) return undefined
    const { of } = index
    // What its index says of itself leads to no other stream's.
    const place = of === undefined ? `${key}/` : `recordings/${streamOf(key)}/${of}/`
    return this.#deps.archives.read(place, uri, signal, this.#originOf(key))
  }

  /** What the operator should know, a sentence each. */
  warnings(): readonly string[] {
    const failing = this.#deps.archives.states().filter(({ storeFails }) => storeFails)
    return failing.map(
      ({ key, origin, waitingBytes }) =>
        `${key}: origin ${origin} cannot be written; ${Math.ceil(waitingBytes / 1e6)} MB wait on this disk`,
    )
  }

  /** The newest first. */
  list(): {
    readonly recordings: readonly RecordingReport[]
    readonly clips: readonly RecordingReport[]
  } {
    const { archives, catalogue } = this.#deps
    const running = archives.states().map(
      ({ key, stream, origin, state, startedAt, endsAt, ...rest }): RecordingReport => ({
        stream,
        id: idOf(key),
        key,
        origin,
        state,
        from: startedAt,
        to: endsAt,
        ...rest,
      }),
    )
    const known = new Set(running.map(({ key }) => key))
    const rows = catalogue.rows.filter(({ key }) => !known.has(key))
    const newest = (a: RecordingReport, b: RecordingReport) => b.from - a.from
    const reports = (kind: CatalogueRow['kind']) =>
      rows.filter((row) => row.kind === kind).map((row) => this.#report(row))
    return {
      recordings: [...running, ...reports('recording')].sort(newest),
      clips: reports('clip').sort(newest),
    }
  }

  /**
   * Takes it out of sight at once and its objects out of the store behind that; those that clips name stay. Throws `not-found`,
   * and `conflict` for what is still being written.
   */
  async remove(key: string): Promise<void> {
    const { archives, catalogue, onRemoved, log } = this.#deps
    if (archives.running(key))
      throw new NearcastError('conflict', `${key} is being recorded, or on its way to its store`)
    const row = catalogue.get(key)
    if (!row) throw new NearcastError('not-found', `there is no ${key}`)
    if (catalogue.isRemoving(key)) return
    await catalogue.beginRemoving(key)
    this.#indexes.forget(key)
    await archives.discard(key)
    onRemoved(key)
    log.info('a recording is removed', { recording: key })
    void this.#removeObjects(row)
  }

  /** Makes a stored item of a part of a recording, also of one that runs; its objects are the recording's. */
  async clip(request: ClipRequest): Promise<RecordingReport> {
    const { catalogue, random, storeOf, clock } = this.#deps
    const source = this.#sourceOf(request)
    const parent = `recordings/${request.stream}/${source.start}`
    const whole = await this.find(parent)
    const edge = whole ? edgeOf(whole) : source.to
    const from = momentOf(request.from, edge)
    const to = momentOf(request.to, edge)
    if (from >= to) throw new NearcastError('bad-request', 'from must lie before to')
    const index = whole && cutClip(whole, source.start, from, to)
    if (!index)
      throw new NearcastError(
        'bad-request',
        `${parent} has nothing between ${dateOf(from)} and ${dateOf(to)}; it goes from ${dateOf(source.from)} to ${dateOf(source.to)}`,
      )
    const key = `recordings/${request.stream}/clips/${readableToken(random, CLIP_ID_LENGTH)}`
    const bytes = await writeRecordingIndex(index)
    const object = `${key}/${INDEX_NAME}`
    const contentType = 'application/x-ndjson'
    await withDeadline(clock, WRITE_MS, `writing ${object}`, this.#stop.signal, (signal) =>
      storeOf(source.origin).write(object, bytes, { contentType, size: bytes.length, signal }),
    )
    const row = await catalogue.add(key, source.origin, index)
    // Removing begins with that mark, and looks for clips behind it.
    if (!catalogue.isRemoving(parent)) return this.#report(row)
    await this.remove(key)
    throw new NearcastError('conflict', `${parent} is being removed`)
  }

  /** Finds what lies in the store and is not listed here: the data folder was lost, or another server's. */
  async lookForUnknown(): Promise<void> {
    const { record, storeOf, catalogue, archives, log } = this.#deps
    if (record === undefined) return
    const { signal } = this.#stop
    try {
      const store = storeOf(record)
      for (const stream of await foldersIn(store, 'recordings/', signal)) {
        const places = await foldersIn(store, stream, signal)
        const clips = places.includes(`${stream}clips/`)
          ? await foldersIn(store, `${stream}clips/`, signal)
          : []
        for (const place of [...places, ...clips]) {
          const key = place.slice(0, -1)
          const start = idOf(key)
          const clip = key.endsWith(`/clips/${start}`)
          if ((!clip && !isRecordingStart(start)) || catalogue.get(key) || archives.running(key))
            continue
          const index = await this.#indexes.find(key, record)
          if (index?.ended) await catalogue.add(key, record, index)
        }
      }
    } catch (error) {
      if (signal.aborted) return
      log.warn('the recordings in the store cannot be listed', { reason: describeError(error) })
    }
  }

  #originOf(key: string): string {
    const { archives, catalogue, record, elsewhere } = this.#deps
    return catalogue.get(key)?.origin ?? archives.originOf(key) ?? record ?? elsewhere
  }

  #report(row: CatalogueRow): RecordingReport {
    const { key, origin, of, startedAt: from, endsAt: to, seconds, bytes, missingSegments } = row
    const state = this.#deps.catalogue.isRemoving(key) ? 'removing' : 'complete'
    return {
      stream: streamOf(key),
      id: idOf(key),
      key,
      origin,
      state,
      of,
      from,
      to,
      seconds,
      bytes,
      missingSegments,
      waitingBytes: 0,
      storeFails: false,
    }
  }

  #sourceOf({ stream, recording, from, to }: ClipRequest): Source {
    const all = this.list()
      .recordings.filter((one) => one.stream === stream && one.state !== 'removing')
      .map(({ id, origin, ...one }) => ({ start: id, origin, from: one.from, to: one.to }))
    const [newest] = all
    if (!newest)
      throw new NearcastError(
        'not-found',
        `nothing of ${stream} is recorded; live.record names the origin to record to`,
      )
    if (recording !== undefined) {
      const found = all.find(({ start }) => start === recording)
      if (found) return found
      throw new NearcastError('not-found', `there is no recording ${recording} of ${stream}`)
    }
    if ('secondsBack' in from) return newest
    const until = momentOf(to, newest.to)
    const holds = all.find((one) => one.from <= from.at && one.to > from.at)
    return holds ?? all.find((one) => one.from < until && one.to > from.at) ?? newest
  }

  #sweep(): void {
    const { catalogue, clock, retentionSeconds, log } = this.#deps
    const until = clock.now() - retentionSeconds * 1000
    for (const row of catalogue.rows) {
      if (catalogue.isRemoving(row.key)) void this.#removeObjects(row)
      else if (retentionSeconds > 0 && row.kind === 'recording' && row.endsAt < until)
        this.remove(row.key).catch((error: unknown) => {
          log.warn('an old recording cannot be removed', {
            recording: row.key,
            reason: describeError(error),
          })
        })
    }
  }

  /** What fails is tried again by the next sweep. */
  async #removeObjects(row: CatalogueRow): Promise<void> {
    const { key, origin, of, kind } = row
    if (this.#atWork.has(key)) return
    this.#atWork.add(key)
    const { storeOf, catalogue, archives, log } = this.#deps
    try {
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(REMOVE_MS)])
      const store = storeOf(origin)
      const stream = streamOf(key)
      const start = kind === 'clip' ? of : idOf(key)
      if (kind === 'clip') await store.remove(`${key}/${INDEX_NAME}`, signal)
      const parent = `recordings/${stream}/${start}`
      // A clip's segments go with the last clip of a recording that is gone.
      const alone = kind === 'recording' || !(catalogue.get(parent) ?? archives.running(parent))
      if (alone && start !== undefined)
        await removeObjects(store, `${parent}/`, await this.#keptForClips(stream, start), signal)
      await catalogue.removed(key)
      this.#indexes.forget(key)
    } catch (error) {
      if (!this.#stop.signal.aborted)
        log.warn('the objects of a recording cannot be removed', {
          recording: key,
          reason: describeError(error),
        })
    } finally {
      this.#atWork.delete(key)
    }
  }

  async #keptForClips(stream: string, start: string): Promise<ReadonlySet<string>> {
    const { catalogue } = this.#deps
    const kept = new Set<string>()
    for (const { key, of, origin } of catalogue.rows) {
      if (of !== start || streamOf(key) !== stream || catalogue.isRemoving(key)) continue
      const index = await this.#indexes.find(key, origin)
      for (const name of index ? namedObjects(index) : []) kept.add(name)
    }
    return kept
  }
}

function momentOf(time: ClipTime, edge: number): number {
  return 'at' in time ? time.at : edge - time.secondsBack * 1000
}

/** Where the rendition ends that all others are cut with. */
function edgeOf(index: RecordingIndex): number {
  const last = leadOf(index)?.segments.findLast(({ slate }) => !slate)
  return last ? last.startedAt + last.seconds * 1000 : index.startedAt
}

function streamOf(key: string): string {
  return key.split('/')[1] ?? ''
}

function idOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}

function dateOf(milliseconds: number): string {
  const date = new Date(milliseconds)
  return Number.isNaN(date.getTime()) ? 'no date' : date.toISOString()
}
