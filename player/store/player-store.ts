import { browserClock } from '../engine/clock.ts'
import type { Engine, EngineEvent, LiveFacts } from '../engine/engine.ts'
import type { NearcastVideo } from '../engine/media-element.ts'
import { openEngine } from '../engine/open-engine.ts'
import { probeSource, type SourceFailure } from '../engine/probe-source.ts'
import { deriveState, type Facts, type PlayerState, retries } from './state.ts'

export interface Source {
  readonly src: string
  /** Known to be live before anything is loaded: a 404 then means "not live yet". */
  readonly expectsLive: boolean
  readonly startSeconds: number | undefined
  readonly autoplay: 'no' | 'yes' | 'muted'
  /** Fetch before playing is asked for. */
  readonly preload: boolean
}

export interface Snapshot {
  readonly state: PlayerState
  /** Live or known to become so. */
  readonly live: boolean
  readonly liveFacts: LiveFacts | undefined
  /** The sound is off only because the browser did not allow it. */
  readonly needsUnmute: boolean
  /** The picture stands still and should move. */
  readonly buffering: boolean
  /** Opening it takes so long that the viewer wants to know. */
  readonly slow: boolean
}

const TICK_MS = 250
const BUFFERING_MS = 400
const SLOW_MS = 400
/** For so long a publisher that went away is expected back at any moment. */
const DROP_MS = 60_000
/** A paused live stream is not fetched for longer than this. */
const SUSPEND_MS = 30_000
/** A server that takes longer than this to say why does not answer. */
const PROBE_MS = 20_000
const NOTHING: Facts = {
  online: true,
  ready: false,
  live: false,
  expectsLive: false,
  failure: undefined,
  attempts: 0,
  started: false,
  wantsPlay: false,
  paused: true,
  ended: false,
  stalledMs: 0,
  failedMs: 0,
  following: true,
}

/** Collects facts, carries out requests, tells what changed. Nothing is assumed: a request shows when the facts follow. */
export class PlayerStore {
  readonly #video: NearcastVideo
  readonly #onChange: (snapshot: Snapshot) => void
  readonly #undo: (() => void)[] = []
  #source: Source | undefined
  #facts: Facts = NOTHING
  #engine: Engine | undefined
  /** An engine was asked for, and is there or on its way. */
  #opened = false
  /** Aborted when the source changes: whatever was on its way is not wanted any more. */
  #abort = new AbortController()
  #cancelTimer: () => void = () => {}
  #needsUnmute = false
  #position = 0
  #failedAt = 0
  #unloadedAt = browserClock.monotonic()
  #pausedMs = 0
  #smoothMs = 0

  constructor(video: NearcastVideo, onChange: (snapshot: Snapshot) => void) {
    this.#video = video
    this.#onChange = onChange
    this.#on(video, 'play', () => this.#onPlay())
    this.#on(video, 'playing', () => this.#set({ started: true, stalledMs: 0, ended: false }))
    this.#on(video, 'pause', () => this.#onPause())
    this.#on(video, 'ended', () => this.#onEnded())
    this.#on(video, 'volumechange', () => this.#onVolume())
    this.#on(window, 'online', () => this.#onOnline())
    this.#on(window, 'offline', () => this.#set({ online: false }))
    this.#undo.push(browserClock.every(TICK_MS, () => this.#tick()))
  }

  get snapshot(): Snapshot {
    const facts = this.#facts
    return {
      state: deriveState(facts),
      live: this.#isLive(),
      liveFacts: this.#engine?.live(),
      needsUnmute: this.#needsUnmute && this.#video.nativeEl.muted,
      buffering: facts.stalledMs > BUFFERING_MS,
      slow: browserClock.monotonic() - this.#unloadedAt > SLOW_MS,
    }
  }

  load(source: Source): void {
    this.#unload()
    this.#source = source
    this.#needsUnmute = source.autoplay === 'muted'
    this.#facts = {
      ...NOTHING,
      online: navigator.onLine,
      expectsLive: source.expectsLive,
      wantsPlay: source.autoplay !== 'no',
    }
    if (source.autoplay === 'muted') this.#video.nativeEl.muted = true
    if (source.src === '') this.#fail({ kind: 'not-found', code: 'no-source', message: '' })
    else if (this.#facts.wantsPlay || (source.preload && !source.expectsLive)) void this.#open()
    else if (source.expectsLive) void this.#check()
    this.#changed()
  }

  play(): void {
    this.#set({ wantsPlay: true, online: navigator.onLine })
    if (this.#facts.ended) this.replay()
    else if (!this.#opened && !this.#facts.failure) void this.#open()
    else if (this.#facts.ready) void this.#tryPlay()
  }

  pause(): void {
    this.#set({ wantsPlay: false })
    this.#video.nativeEl.pause()
  }

  goLive(): void {
    this.#engine?.goLive()
    this.play()
  }

  replay(): void {
    this.#set({ ended: false, wantsPlay: true })
    if (this.#facts.live) {
      void this.#check()
      return
    }
    this.#video.nativeEl.currentTime = 0
    void this.#tryPlay()
  }

  /** Asks again at once. */
  retry(): void {
    this.#set({ wantsPlay: true, online: navigator.onLine, attempts: 0 })
    this.#cancelTimer()
    if (this.#facts.failure || this.#facts.ended) void this.#check()
    else void this.#reopen()
  }

  unmute(): void {
    this.#video.nativeEl.muted = false
    if (this.#video.nativeEl.volume === 0) this.#video.nativeEl.volume = 0.5
  }

  close(): void {
    this.#unload()
    for (const undo of this.#undo) undo()
  }

  #unload(): void {
    this.#unloadedAt = browserClock.monotonic()
    this.#abort.abort()
    this.#abort = new AbortController()
    this.#cancelTimer()
    this.#engine?.close()
    this.#engine = undefined
    this.#opened = false
    this.#position = 0
    this.#pausedMs = 0
  }

  /** Playable, and nobody asked to play. */
  #rest(): void {
    this.#unload()
    const { live, expectsLive, online } = this.#facts
    this.#facts = { ...NOTHING, live, expectsLive, online }
    this.#changed()
  }

  async #open(): Promise<void> {
    const { signal } = this.#abort
    if (!this.#source) return
    const { src, startSeconds } = this.#source
    this.#opened = true
    const onEvent = (event: EngineEvent) => {
      if (!signal.aborted) this.#onEngine(event)
    }
    try {
      const engine = await openEngine(this.#video, { src, startSeconds, signal, onEvent })
      if (signal.aborted) engine.close()
      else this.#engine = engine
    } catch (error) {
      // The engine's own code could not be fetched.
      const message = error instanceof Error ? error.message : ''
      if (!signal.aborted) this.#fail({ kind: 'network', code: 'player-not-loaded', message })
    }
  }

  /** Begins anew with the same source; a stored one where it was. */
  async #reopen(): Promise<void> {
    const { live, expectsLive, started, attempts, wantsPlay, online } = this.#facts
    if (this.#source && !live && started)
      this.#source = { ...this.#source, startSeconds: this.#video.nativeEl.currentTime }
    this.#unload()
    this.#facts = { ...NOTHING, live, expectsLive, attempts, wantsPlay, online }
    this.#changed()
    await this.#open()
  }

  #onEngine(event: EngineEvent): void {
    switch (event.kind) {
      case 'ready':
        this.#set({ ready: true, failure: undefined })
        if (this.#facts.wantsPlay) void this.#tryPlay()
        return
      case 'live':
        if (event.live) this.#set({ live: true })
        return
      case 'failed':
        void this.#classify(event.failure)
    }
  }

  async #tryPlay(): Promise<void> {
    const video = this.#video.nativeEl
    try {
      await video.play()
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return
      if (video.muted) {
        this.#set({ wantsPlay: false })
        return
      }
      video.muted = true
      this.#needsUnmute = true
      await this.#tryPlay()
    }
  }

  /** An engine sees that loading failed; the server knows why. */
  async #classify(failure: SourceFailure): Promise<void> {
    if (failure.kind === 'decode') {
      this.#fail(failure)
      return
    }
    const probe = await this.#probe()
    if (probe?.kind === 'failed') this.#fail(probe.failure)
    else if (probe?.kind === 'ended' && this.#facts.live) this.#onEnded()
    else if (probe) this.#fail(failure)
  }

  async #probe() {
    const { signal } = this.#abort
    const request = new AbortController()
    const giveUp = () => request.abort()
    const cancelDeadline = browserClock.after(PROBE_MS, giveUp)
    signal.addEventListener('abort', giveUp)
    const probe = await probeSource(this.#source?.src ?? '', this.#isLive(), request.signal)
    cancelDeadline()
    signal.removeEventListener('abort', giveUp)
    return signal.aborted ? undefined : probe
  }

  /** Asks whether the source can be played now, and plays it if so. */
  async #check(): Promise<void> {
    const probe = await this.#probe()
    if (!probe) return
    if (probe.kind === 'failed') {
      if (this.#facts.ended) this.#later()
      else this.#fail(probe.failure)
      return
    }
    if (probe.kind === 'ended' && this.#facts.ended) this.#later()
    else if (this.#facts.wantsPlay || (this.#facts.started && !this.#isLive())) void this.#reopen()
    else this.#rest()
  }

  #fail(failure: SourceFailure): void {
    const first = this.#facts.failure === undefined
    if (first) this.#failedAt = browserClock.monotonic()
    this.#set({ failure, attempts: this.#facts.attempts + 1, online: navigator.onLine })
    if (retries(this.#facts)) this.#later()
  }

  #later(): void {
    this.#cancelTimer()
    this.#cancelTimer = browserClock.after(this.#delayMs(), () => void this.#check())
  }

  /** A stream that was there a moment ago is asked for each second, one that may appear each 2 to 4 s; a broken network less and less often. */
  #delayMs(): number {
    const spread = browserClock.fraction()
    const { failure, attempts, ended, started, failedMs } = this.#facts
    if (failure?.kind === 'not-live' && started && failedMs < DROP_MS) return 700 + 600 * spread
    if (ended || failure?.kind === 'not-live') return (attempts < 3 ? 1000 : 2000) + 2000 * spread
    return Math.min(5000, 500 * 2 ** Math.min(attempts, 5)) * (0.75 + spread / 2)
  }

  /** Not only ours to ask for: media keys and the picture-in-picture window play by themselves. */
  #onPlay(): void {
    this.#engine?.suspend(false)
    this.#set({ paused: false, ended: false, wantsPlay: true })
  }

  #onPause(): void {
    const video = this.#video.nativeEl
    if (!this.#facts.ready || this.#facts.failure) return
    if (!video.ended) this.#set({ paused: true, wantsPlay: false, stalledMs: 0 })
  }

  #onEnded(): void {
    this.#set({ ended: true, failure: undefined, attempts: 0, stalledMs: 0 })
    if (this.#facts.live) {
      this.#set({ wantsPlay: true })
      this.#later()
    }
  }

  #onVolume(): void {
    if (!this.#video.nativeEl.muted) this.#needsUnmute = false
    this.#changed()
  }

  #onOnline(): void {
    this.#set({ online: true })
    if (retries(this.#facts)) {
      this.#cancelTimer()
      void this.#check()
    } else if (!this.#facts.ready && this.#facts.wantsPlay) void this.#reopen()
  }

  #tick(): void {
    const video = this.#video.nativeEl
    const moved = video.currentTime !== this.#position
    this.#position = video.currentTime
    const { started, paused, ended, failure } = this.#facts
    const expected = started && !paused && !ended && !failure
    const stalledMs = expected && !moved ? this.#facts.stalledMs + TICK_MS : 0
    this.#smoothMs = expected && moved ? this.#smoothMs + TICK_MS : 0
    this.#pausedMs = paused && started ? this.#pausedMs + TICK_MS : 0
    if (this.#facts.live && this.#pausedMs > SUSPEND_MS) this.#engine?.suspend(true)
    this.#set({
      stalledMs,
      failedMs: failure ? browserClock.monotonic() - this.#failedAt : 0,
      following: this.#engine?.live()?.following ?? this.#facts.following,
      attempts: this.#smoothMs > 10_000 ? 0 : this.#facts.attempts,
    })
  }

  #isLive(): boolean {
    return this.#facts.live || this.#facts.expectsLive
  }

  #set(change: Partial<Facts>): void {
    this.#facts = { ...this.#facts, ...change }
    this.#changed()
  }

  #changed(): void {
    this.#onChange(this.snapshot)
  }

  #on(target: EventTarget, type: string, listener: () => void): void {
    target.addEventListener(type, listener)
    this.#undo.push(() => target.removeEventListener(type, listener))
  }
}
