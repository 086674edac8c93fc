import type { Origin, OriginRequest } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Metrics } from '../lib/metrics.ts'
import type { Random } from '../lib/random.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import type { StreamRegistry } from '../stream/registry.ts'
import { type Demand, untilPublished } from '../stream/until-published.ts'
import { readLiveAddress } from './address.ts'
import { answerLive } from './answer.ts'
import type { Archives } from './archives.ts'
import { Channel, type ChannelOptions } from './channel.ts'
import { describeChannel, type LiveDescription } from './describe.ts'
import { DIRECTIVE_NAMES } from './directives.ts'
import { answerFlv, readFlvAddress } from './http-flv.ts'
import { type MakePicture, Posters } from './posters.ts'
import type { StartLadder } from './rung.ts'
import { loadWindows, saveWindows } from './saved-windows.ts'
import type { MakeSlate } from './slate.ts'
import { tailOf } from './tail-queue.ts'
import { DEFAULT_WINDOW_LIMITS } from './window-limits.ts'

export interface LivePackagerDeps {
  readonly registry: StreamRegistry
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
  /** The wish for PART-TARGET; what it becomes depends on the frame rate. */
  readonly partSeconds: number
  /**
   * Segments begin with the first key frame after so long; 1 by default: parts are listed for three target durations and
   * skipped by delta updates after six, so short segments make small playlists, and each is a place to join or switch.
   */
  readonly segmentSeconds?: number | undefined
  /** Length of the main playlist. */
  readonly windowSeconds: number
  /** Length of `dvr.m3u8`; as long as the main one by default. Never more than fits `windowBytes`. */
  readonly dvrSeconds?: number | undefined
  /** How long a publisher may be gone before the playlists end; 30 by default. */
  readonly graceSeconds?: number | undefined
  /** A slate fills the gap when no frame came for so long; 0, as by default: never. */
  readonly slateSeconds?: number | undefined
  /** Makes slates; without it the last picture is held. */
  readonly makeSlate?: MakeSlate | undefined
  /** Media bytes kept for one stream; 256 MiB by default. */
  readonly windowBytes?: number | undefined
  /** Makes smaller renditions of each stream; none unless given. */
  readonly startLadder?: StartLadder | undefined
  /** Makes posters; none unless given. */
  readonly makePicture?: MakePicture | undefined
  /** Streams that begin when they are asked for. */
  readonly demand?: Demand | undefined
  /** Where windows are kept over a restart; undefined: nowhere. */
  readonly stateDir?: string | undefined
  /** Keeps what leaves memory; without, nothing older is to be had. Closed by `save`. */
  readonly archives?: Archives | undefined
}

export interface LivePackager {
  readonly origin: Origin
  /** The window of a stream as bytes for a replica; undefined when there is no such stream. Ends when it is aborted. */
  tail(name: string, signal: AbortSignal): AsyncIterable<Uint8Array> | undefined
  describe(): readonly LiveDescription[]
  /** The playlists of a stream end now, without a grace. */
  end(name: string): void
  /** Closes what is open and writes all windows to `stateDir`; nothing is packaged after it. */
  save(): Promise<void>
  close(): void
}

/** Of a drain: what an archive has still to write. */
const ARCHIVE_MS = 1500

/** Packages every stream of the registry and answers `/live/…` from its windows; goes on where `stateDir` has them. */
export async function createLivePackager(deps: LivePackagerDeps): Promise<LivePackager> {
  const { registry, clock, random, log, metrics, windowSeconds, stateDir, archives } = deps
  const channels = new Map<string, Channel>()
  const parts = metrics.counter('nearcast_live_parts_total', 'Parts of live streams that were made')
  const breaks = metrics.counter(
    'nearcast_live_discontinuities_total',
    'Times that live streams did not continue what was before',
  )
  const windows = () => [...channels.values()].map((channel) => channel.window)
  metrics.gauge('nearcast_live_streams', 'Live streams that a publisher is sending', () => {
    return [...channels.values()].filter((channel) => channel.state === 'live').length
  })
  metrics.gauge('nearcast_live_window_bytes', 'Media bytes held for live viewers', () =>
    windows().reduce((sum, window) => sum + window.byteLength, 0),
  )
  metrics.gauge('nearcast_live_waiting_requests', 'Live requests that wait for a part', () =>
    windows().reduce((sum, window) => sum + window.waiting, 0),
  )
  metrics.gauge(
    'nearcast_live_archive_waiting_segments',
    'Closed segments of live streams that are not on the disk yet',
    () => archives?.waitingSegments ?? 0,
  )
  const options: ChannelOptions = {
    clock,
    random,
    log,
    partSeconds: deps.partSeconds,
    segmentSeconds: deps.segmentSeconds ?? 1,
    windowSeconds,
    dvrSeconds: deps.dvrSeconds ?? windowSeconds,
    graceSeconds: deps.graceSeconds ?? 30,
    slateSeconds: deps.slateSeconds ?? 0,
    makeSlate: deps.makeSlate,
    limits: { bytes: deps.windowBytes ?? DEFAULT_WINDOW_LIMITS.bytes },
    startLadder: deps.startLadder,
    onWindow: (window) => archives?.watch(window),
    onSlate: (window, epoch) => archives?.expectSlate(window, epoch),
    onPart: () => parts.add(),
    onDiscontinuity: () => breaks.add(),
  }
  const drop = (channel: Channel) => {
    if (channels.get(channel.name) === channel) channels.delete(channel.name)
  }
  const publish = (stream: LiveStream) => {
    let channel = channels.get(stream.name)
    if (!channel) {
      channel = new Channel(stream.name, options, drop)
      channels.set(stream.name, channel)
    }
    channel.publish(stream)
  }
  const saved =
    stateDir === undefined ? [] : await loadWindows(stateDir, options.limits, { clock, log })
  for (const window of archives ? await archives.resume(saved) : saved)
    channels.set(window.name, new Channel(window.name, options, drop, window))
  const observing = registry.observe(publish)
  for (const { stream, onAir } of registry.list()) if (onAir) publish(stream)
  const find = (name: string) => channels.get(name)?.window
  const posters = deps.makePicture && new Posters(deps.makePicture, clock)
  const readStored = archives?.read.bind(archives)
  const { demand } = deps
  const flvAnswer = async (name: string, request: OriginRequest) => {
    if (!demand?.wanted(name) || request.method !== 'GET')
      return answerFlv(registry.get(name), name, request)
    const hold = demand.hold(name)
    const stream = await untilPublished(registry, name, clock, request.signal)
    if (!stream || request.signal.aborted) hold?.[Symbol.dispose]()
    else request.signal.addEventListener('abort', () => hold?.[Symbol.dispose](), { once: true })
    const answer = answerFlv(stream, name, request)
    const { body } = answer
    return body !== null && Symbol.asyncIterator in body
      ? { ...answer, body: whileHeld(body, hold) }
      : answer
  }
  return {
    origin: {
      id: 'live',
      fetch: async (request) => {
        const flv = readFlvAddress(request.path)
        if (flv !== undefined) return flvAnswer(flv, request)
        const name = demand && readLiveAddress(request.path)?.name
        if (name !== undefined && demand?.wanted(name) && !find(name))
          await untilPublished(registry, name, clock, request.signal)
        return await answerLive({ find, clock, readStored, posters }, request)
      },
      caching: 'none',
      ranges: false,
      keyQuery: DIRECTIVE_NAMES,
    },
    tail: (name, signal) => {
      const window = find(name)
      if (!window) {
        demand?.wanted(name)
        return undefined
      }
      return whileHeld(tailOf(window, clock, signal), demand?.hold(name))
    },
    describe: () =>
      [...channels.values()].map((channel) => describeChannel(channel, clock.monotonic())),
    end: (name) => channels.get(name)?.end(),
    save: async () => {
      for (const channel of channels.values()) channel.freeze()
      await archives?.close(ARCHIVE_MS)
      if (stateDir !== undefined) await saveWindows(stateDir, windows(), { clock, log })
    },
    close: () => {
      observing[Symbol.dispose]()
      for (const channel of channels.values()) channel.close()
      channels.clear()
    },
  }
}

/** Gives the hold back at the end. */
async function* whileHeld(
  body: AsyncIterable<Uint8Array>,
  hold: Disposable | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body
  } finally {
    hold?.[Symbol.dispose]()
  }
}
