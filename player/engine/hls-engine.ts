import type Hls from 'hls.js'
import type { ErrorData, HlsConfig } from 'hls.js'
import { browserClock } from './clock.ts'
import type { Engine, EngineOptions, LiveFacts } from './engine.ts'
import { followLive, penaltyAfterPlaying, penaltyAfterStall } from './follow-live.ts'
import { type HandOver, handOver } from './hand-over.ts'
import { type HlsTracks, offerTracks } from './hls-tracks.ts'
import type { NearcastVideo } from './media-element.ts'
import { Opening } from './opening.ts'
import { networkFailure, type SourceFailure } from './probe-source.ts'

const TICK_MS = 200
/** A jump needs this long to show what it did. */
const JUMP_PAUSE_MS = 2500
const START_MS = 3000
const STUCK_MS = 1500
/** Above this the two clocks don't agree and nothing can be said from program date-time. */
const CLOCK_LIMIT_SECONDS = 60

/** So much is buffered until a picture is there, and then as much as hls.js itself would. Seconds. */
const FIRST_SECONDS = 1
const MOST_SECONDS = 600

/** A network is taken to carry the first rendition until it was measured; no more than this. */
const START_BITS_MOST = 12_000_000

const GONE = new Set([400, 401, 403, 404, 410])

/** Playlists and parts of a live stream are worth asking for again for as long as somebody watches. */
const patient = (maxNumRetry: number) => ({
  maxTimeToFirstByteMs: 12_000,
  maxLoadTimeMs: 20_000,
  timeoutRetry: { maxNumRetry, retryDelayMs: 0, maxRetryDelayMs: 0 },
  errorRetry: { maxNumRetry, retryDelayMs: 300, maxRetryDelayMs: 1000 },
})

/** `liveSyncDuration(Count)` stays unset: either would overrule the server's hold-back. */
const CONFIG: Partial<HlsConfig> = {
  enableWorker: false,
  lowLatencyMode: true,
  maxLiveSyncPlaybackRate: 1,
  liveSyncOnStallIncrease: 0,
  liveDurationInfinity: true,
  backBufferLength: 60,
  // `startLevel` stays unset: -1 tries the network with a segment of the smallest level first, which costs a playlist and a
  // segment before the first picture. Unset it is the first one listed, which is the publisher's own.
  abrEwmaDefaultEstimateMax: START_BITS_MOST,
  startFragPrefetch: true,
  // What comes after the first picture would only take network and processor from it.
  maxMaxBufferLength: FIRST_SECONDS,
  playlistLoadPolicy: { default: patient(30) },
}

/**
 * HLS over Media Source Extensions. The first picture is fetched by ourselves, because hls.js takes longer to start than the
 * picture takes to come; then hls.js is fetched, and goes on with what is there.
 */
export async function openHls(
  video: NearcastVideo,
  options: EngineOptions,
): Promise<Engine | undefined> {
  const { src, startSeconds, signal, onEvent } = options
  const media = video.nativeEl
  const onReady = (live: boolean) => {
    onEvent({ kind: 'live', live })
    onEvent({ kind: 'ready' })
  }
  // Managed media sources are told by the browser when to append, which is hls.js's to obey.
  const able = 'MediaSource' in self && !('ManagedMediaSource' in self)
  const opening = able ? new Opening(media, { src, startSeconds, signal, onReady }) : undefined
  try {
    await opening?.picture()
    signal.throwIfAborted()
    const { default: HlsPlayer } = await import('hls.js')
    signal.throwIfAborted()
    if (!HlsPlayer.isSupported()) return undefined
    const opened = opening?.opened
    const handed = opening && opened && handOver(HlsPlayer, media, opening, opened)
    if (!handed) opening?.close()
    // 0 is where a film begins, and where a live stream is that has no picture yet.
    const startPosition = (handed && media.currentTime) || (startSeconds ?? -1)
    const hls = new HlsPlayer({ ...CONFIG, ...handed?.config, startPosition })
    return new HlsEngine(HlsPlayer, hls, video, options, handed)
  } catch (error) {
    opening?.close()
    throw error
  }
}

class HlsEngine implements Engine {
  readonly #hls: Hls
  readonly #video: NearcastVideo
  readonly #options: EngineOptions
  readonly #tracks: HlsTracks
  readonly #handed: HandOver | undefined
  readonly #undo: (() => void)[] = []
  readonly #openedAt = browserClock.monotonic()
  #known: boolean | undefined
  #following = true
  #ownSeek = false
  #position = 0
  #penalty = 0
  #jumpedAt = Number.NEGATIVE_INFINITY
  #stuckSince: number | undefined
  #repairs = 0
  #suspended = false

  constructor(
    player: typeof Hls,
    hls: Hls,
    video: NearcastVideo,
    options: EngineOptions,
    handed: HandOver | undefined,
  ) {
    this.#hls = hls
    this.#video = video
    this.#options = options
    this.#handed = handed
    this.#tracks = offerTracks(hls, player.Events, video)
    this.#listen(player)
    handed?.attach(hls)
    hls.loadSource(options.src)
    if (!handed) hls.attachMedia(video.nativeEl)
  }

  live(): LiveFacts | undefined {
    const details = this.#hls.latestLevelDetails
    if (!details?.live) return undefined
    return {
      latencySeconds: this.#latency(),
      clockLatencySeconds: this.#clockLatency(),
      targetSeconds: this.#target(),
      windowSeconds: details.totalduration,
      following: this.#following,
    }
  }

  goLive(): void {
    this.#following = true
    this.#jumpBy(this.#latency() - this.#target())
  }

  suspend(suspended: boolean): void {
    if (suspended === this.#suspended) return
    this.#suspended = suspended
    if (suspended) this.#hls.stopLoad()
    else this.#hls.startLoad(this.#known ? -1 : this.#video.currentTime)
    if (this.#known) this.#following = true
  }

  close(): void {
    for (const undo of this.#undo) undo()
    this.#tracks.close()
    this.#hls.destroy()
    this.#handed?.close()
    this.#video.setStreamType('unknown', Number.NaN)
    this.#video.playbackRate = 1
  }

  #listen(player: typeof Hls): void {
    const hls = this.#hls
    const { Events, ErrorTypes, ErrorDetails } = player
    hls.on(Events.MANIFEST_PARSED, () => this.#options.onEvent({ kind: 'ready' }))
    hls.on(Events.LEVEL_LOADED, () => this.#learnKind())
    hls.on(Events.ERROR, (_, data) => {
      if (data.details === ErrorDetails.BUFFER_STALLED_ERROR)
        this.#penalty = penaltyAfterStall(this.#penalty)
      // A level that is gone is left for another one.
      const gone = hls.levels.length < 2 && playlistIsGone(data, player)
      if (!data.fatal && !gone) return
      const failure = failureOfHls(data, player)
      const repairable = data.type === ErrorTypes.MEDIA_ERROR && failure.kind !== 'unsupported'
      this.#repairOrFail(repairable, failure)
    })
    // hls.js sees it only when it appends again, and with a full buffer it doesn't.
    this.#on('error', () => {
      const { error } = this.#video.nativeEl
      if (error?.code !== MediaError.MEDIA_ERR_DECODE) return
      const message = error.message.slice(0, 300)
      this.#repairOrFail(true, { kind: 'decode', code: 'media-error-3', message })
    })
    const fetchOn = () => (hls.config.maxMaxBufferLength = MOST_SECONDS)
    this.#on('loadeddata', fetchOn)
    // What was opened has had its picture, and a second `loadeddata` does not come.
    if (this.#handed) fetchOn()
    this.#on('seeking', () => this.#onSeeking())
    this.#on('pause', () => this.#onPause())
    this.#undo.push(browserClock.every(TICK_MS, () => this.#tick()))
  }

  /** A decoder that fails once is often well again after the buffer is made anew; a codec it lacks does not come. */
  #repairOrFail(repairable: boolean, failure: SourceFailure): void {
    if (repairable && this.#repairs < 2) {
      this.#repairs += 1
      this.#hls.recoverMediaError()
      return
    }
    this.#hls.stopLoad()
    this.#options.onEvent({ kind: 'failed', failure })
  }

  #on(type: string, listener: () => void): void {
    this.#video.addEventListener(type, listener)
    this.#undo.push(() => this.#video.removeEventListener(type, listener))
  }

  #learnKind(): void {
    const details = this.#hls.latestLevelDetails
    if (!details) return
    const window = details.live ? details.totalduration : Number.NaN
    const dvr = window > 90 ? Math.round(window) : 0
    this.#video.setStreamType(details.live ? 'live' : 'on-demand', details.live ? dvr : Number.NaN)
    if (details.live === this.#known) return
    // A stream that ended is not followed any more: what is left plays at its own speed.
    if (this.#known) this.#setRate(1)
    this.#known = details.live
    // A live picture has half a second in hand: a change of level for the size of the player is not worth a halt.
    this.#hls.config.capLevelToPlayerSize = !details.live
    this.#options.onEvent({ kind: 'live', live: details.live })
  }

  /** The viewer went back: that is a wish. Forward to the edge: that too. */
  #onSeeking(): void {
    const own = this.#ownSeek
    this.#ownSeek = false
    const moved = this.#video.currentTime - this.#position
    this.#position = this.#video.currentTime
    if (own || !this.#known) return
    if (moved < -0.5) this.#following = false
    else if (this.#latency() < this.#target() + 2) this.#following = true
  }

  #onPause(): void {
    if (this.#known && !this.#video.ended) this.#following = false
  }

  #tick(): void {
    const video = this.#video.nativeEl
    this.#position = video.currentTime
    if (!this.#known || this.#suspended || video.paused || video.seeking) return
    const now = browserClock.monotonic()
    const stuck = video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA
    this.#stuckSince = stuck ? (this.#stuckSince ?? now) : undefined
    if (!this.#following) {
      this.#setRate(1)
      return
    }
    if (this.#stuckSince !== undefined) {
      if (now - this.#stuckSince > STUCK_MS) this.#leaveHole(now)
      return
    }
    this.#penalty = penaltyAfterPlaying(this.#penalty, TICK_MS / 1000)
    this.#follow(now)
  }

  #follow(now: number): void {
    const details = this.#hls.latestLevelDetails
    // A playlist that stands still says nothing about where live is.
    if (!details || details.age > 3 * (details.partTarget || details.targetduration) + 1) return
    const starting = now - this.#openedAt < START_MS
    const video = this.#video.nativeEl
    const step = followLive({
      latency: this.#latency(),
      target: this.#target() + this.#penalty,
      ahead: bufferedEnd(video) - video.currentTime,
      rate: video.playbackRate,
      starting,
    })
    if (step.kind === 'rate') this.#setRate(step.rate)
    else if (now - this.#jumpedAt > (starting ? START_MS / 6 : JUMP_PAUSE_MS))
      this.#jumpBy(step.seconds)
  }

  /** After a publisher's break new media lies behind a hole: step over it. */
  #leaveHole(now: number): void {
    const video = this.#video.nativeEl
    const { buffered } = video
    if (buffered.length === 0 || now - this.#jumpedAt < JUMP_PAUSE_MS) return
    const start = buffered.start(buffered.length - 1)
    const end = buffered.end(buffered.length - 1)
    const to = Math.max(start, end - this.#target())
    if (to > video.currentTime + 0.2) this.#jumpBy(to - video.currentTime)
  }

  #jumpBy(seconds: number): void {
    const video = this.#video.nativeEl
    this.#jumpedAt = browserClock.monotonic()
    if (!Number.isFinite(seconds) || Math.abs(seconds) < 0.05) return
    this.#ownSeek = true
    this.#setRate(1)
    video.currentTime += seconds
  }

  #setRate(rate: number): void {
    const video = this.#video.nativeEl
    if (video.playbackRate !== rate) video.playbackRate = rate
  }

  #latency(): number {
    const details = this.#hls.latestLevelDetails
    if (!details) return 0
    const video = this.#video.nativeEl
    // After a publisher's break hls.js places the playlist by durations; what is buffered knows better.
    return Math.max(details.edge + details.age, bufferedEnd(video)) - video.currentTime
  }

  /** The server's hold-back (RFC 8216bis §4.4.3.8), three target durations when it names none. */
  #target(): number {
    const details = this.#hls.latestLevelDetails
    if (!details) return 0
    return details.partHoldBack || details.holdBack || 3 * details.targetduration
  }

  #clockLatency(): number | undefined {
    const shown = this.#hls.playingDate
    if (!shown) return undefined
    const seconds = (browserClock.now() - shown.getTime()) / 1000
    if (seconds <= 0 || seconds > CLOCK_LIMIT_SECONDS) return undefined
    // A date set late by a slow start of the publisher would flatter: nothing is newer than the edge.
    return Math.max(seconds, this.#latency())
  }
}

function bufferedEnd(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video
  for (let at = 0; at < buffered.length; at += 1)
    if (buffered.start(at) <= currentTime + 0.1 && buffered.end(at) >= currentTime)
      return buffered.end(at)
  return currentTime
}

/** hls.js asks for a playlist again whatever the status; these say that asking again is of no use. */
function playlistIsGone(data: ErrorData, { ErrorDetails }: typeof Hls): boolean {
  const playlist =
    data.details === ErrorDetails.LEVEL_LOAD_ERROR ||
    data.details === ErrorDetails.AUDIO_TRACK_LOAD_ERROR
  return playlist && GONE.has(data.response?.code ?? 0)
}

function failureOfHls(data: ErrorData, player: typeof Hls): SourceFailure {
  const { ErrorTypes, ErrorDetails } = player
  if (data.type === ErrorTypes.NETWORK_ERROR) return networkFailure(data.error)
  const unsupported =
    data.details === ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR ||
    data.details === ErrorDetails.BUFFER_ADD_CODEC_ERROR
  return {
    kind: unsupported ? 'unsupported' : 'decode',
    code: data.details,
    message: unsupported ? missingDecoder(data.error.message) : data.error.message.slice(0, 300),
  }
}

/** hls.js names the codecs in a sentence for programmers. */
function missingDecoder(message: string): string {
  const codecs = /\["([^"]{1,100})"/.exec(message)?.[1]
  return `This browser has no decoder for ${codecs ?? 'its format'}.`
}
