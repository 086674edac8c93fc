import type { Frame } from '../codecs/frame.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { type Random, readableToken } from '../lib/random.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import type { StartLadder } from './rung.ts'
import { endOf } from './segment.ts'
import { Segmenter } from './segmenter.ts'
import type { MakeSlate } from './slate.ts'
import { SlateFeed } from './slate-feed.ts'
import { SlatePictures } from './slate-pictures.ts'
import { TimedMetadata } from './timed-metadata.ts'
import { LiveWindow } from './window.ts'
import type { WindowLimits } from './window-limits.ts'

export interface ChannelOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly partSeconds: number
  readonly segmentSeconds: number
  readonly windowSeconds: number
  readonly dvrSeconds: number
  readonly graceSeconds: number
  /** Without a frame for so long a slate fills the gap; 0: never. */
  readonly slateSeconds: number
  readonly limits: WindowLimits
  readonly startLadder: StartLadder | undefined
  /** Without it the slate is the last picture. */
  readonly makeSlate: MakeSlate | undefined
  /** A window that begins, or goes on. */
  readonly onWindow: (window: LiveWindow) => void
  /** What comes under this epoch stands in for a publisher's media. */
  readonly onSlate: (window: LiveWindow, epoch: string) => void
  readonly onPart: () => void
  readonly onDiscontinuity: () => void
}

/**
 * `live`: a publisher sends; `slate`: none does, and a slate fills the gap; `waiting`: it is gone and may come back; `ended`: it
 * did not, the playlists end; `dropped`: nothing is left.
 */
export type ChannelState = 'live' | 'slate' | 'waiting' | 'ended' | 'dropped'

const NEXT: Readonly<Record<ChannelState, readonly ChannelState[]>> = {
  live: ['live', 'slate', 'waiting', 'ended'],
  slate: ['live', 'ended'],
  waiting: ['live', 'slate', 'ended'],
  ended: ['live', 'dropped'],
  dropped: [],
}

/** What begins a publish is the publisher's and the encoders' time: slates are made when they have settled. */
const PREPARE_MS = 5000
/**
 * What a slate fills at once of the gap before it: about the hold-back, so that a player that ran dry goes on without a pause. Filled
 * whole, the gap would make each of them late by as much (plain hls.js showed the publisher 5.6 s after its return).
 */
const FILL_MS = 1000
/** What a publisher may have sent before it is shown. */
const HELD_MAX_MS = 10_000
/** A timer this late says that the process stood still: what the sockets hold comes first. */
const LATE_MS = 500

/** All publishes of one name, one after the other, and the window they share. */
export class Channel {
  readonly name: string
  readonly #options: ChannelOptions
  readonly #onDropped: (channel: Channel) => void
  readonly #pictures: SlatePictures
  readonly #closing = new AbortController()
  #window: LiveWindow
  /** What fills the window now: a publisher's, or the slate's. */
  #segmenter: Segmenter | undefined
  #timed: TimedMetadata | undefined
  #stream: LiveStream | undefined
  #reading: Disposable | undefined
  #ladder: Disposable | undefined
  #slate: Disposable | undefined
  #timer: Disposable | undefined
  #silence: Disposable | undefined
  #preparing: Disposable | undefined
  #lastFrameAt = 0
  readonly #shown = new WeakSet<LiveStream>()
  #state: ChannelState = 'waiting'
  #frozen = false

  /** `window`: one that was saved; it waits for its publisher for the grace. */
  constructor(
    name: string,
    options: ChannelOptions,
    onDropped: (channel: Channel) => void,
    window?: LiveWindow,
  ) {
    this.name = name
    this.#options = options
    this.#onDropped = onDropped
    this.#pictures = new SlatePictures(options.makeSlate)
    this.#window = window ?? this.#newWindow()
    if (window) this.#count(window)
    this.#waitForPublisher()
  }

  get window(): LiveWindow {
    return this.#window
  }
  get state(): ChannelState {
    return this.#state
  }
  get stream(): LiveStream | undefined {
    return this.#stream
  }
  get segmenter(): Segmenter | undefined {
    return this.#segmenter
  }

  /** A window that ended can't go on (its players have gone): the stream begins a new one. */
  publish(stream: LiveStream): void {
    if (this.#frozen) return
    this.#reading?.[Symbol.dispose]()
    this.#stream = stream
    if (this.#window.ended) {
      const old = this.#window
      this.#window = this.#newWindow()
      old.release()
    }
    // A slate goes on until there is a picture.
    if (this.#slate) this.#timer?.[Symbol.dispose]()
    else this.#goLive(stream)
    this.#reading = stream.addReader({
      onTracks: (tracks) => {
        this.#pictures.seeTracks(tracks)
        if (!this.#slate) this.#segmenter?.onTracks(tracks)
      },
      onFrame: (frame) => this.#take(stream, frame),
      onData: (data) => this.#timed?.take(data),
      onEnd: () => {
        if (this.#stream === stream) this.#publisherGone()
      },
    })
    if (!this.#slate) this.#startLadder(stream)
  }

  /** The operator ends the stream: no grace. */
  end(): void {
    if (this.#state !== 'ended' && this.#state !== 'dropped') this.#end()
  }

  /** Closes what is open and takes no more: the window is about to be saved. */
  freeze(): void {
    this.#frozen = true
    this.#closing.abort()
    this.#timer?.[Symbol.dispose]()
    this.#stopAll()
  }

  close(): void {
    this.freeze()
    this.#window.release()
  }

  #take(stream: LiveStream, frame: Frame): void {
    this.#lastFrameAt = this.#options.clock.monotonic()
    this.#pictures.seeFrame(frame)
    if (!this.#slate) {
      this.#segmenter?.onFrame(frame)
      this.#timed?.settle()
      return
    }
    if (!stream.beginsWith(frame)) return
    this.#goLive(stream)
    this.#segmenter?.onTracks(stream.tracks)
    this.#segmenter?.onFrame(frame)
    this.#startLadder(stream)
  }

  #goLive(stream: LiveStream): void {
    this.#stopFilling()
    const segmenter = this.#fill(this.#epochOf(stream), Math.min(stream.heldMs, HELD_MAX_MS))
    this.#become('live')
    const { slateSeconds } = this.#options
    if (slateSeconds > 0) {
      this.#lastFrameAt = this.#options.clock.monotonic()
      this.#watchSilence(slateSeconds * 1000)
      this.#preparing = this.#options.clock.after(PREPARE_MS, () => this.#prepare(segmenter))
    }
  }

  /** Its own the first time: what comes back after a slate or a backup must not give old URLs to other media. */
  #epochOf(stream: LiveStream): string {
    if (this.#shown.has(stream)) return readableToken(this.#options.random, EPOCH_LENGTH)
    this.#shown.add(stream)
    return stream.epoch
  }

  /** After the stream's own reader, so that no rung is ahead of what it is made of. */
  #startLadder(stream: LiveStream): void {
    const { startLadder } = this.#options
    // A stream that has ended already has none.
    if (startLadder && this.#segmenter && this.#stream === stream)
      this.#ladder = startLadder(stream, this.#pictures.watch(this.#segmenter.rungs))
  }

  #fill(epoch: string, backMs: number): Segmenter {
    const { clock, log, partSeconds, segmentSeconds } = this.#options
    const segmenter = new Segmenter({
      window: this.#window,
      epoch,
      clock,
      log,
      partSeconds,
      segmentSeconds,
      backMs,
      onDiscontinuity: (reason) => {
        this.#options.onDiscontinuity()
        log.info('live discontinuity', { stream: this.name, reason })
      },
    })
    this.#segmenter = segmenter
    this.#timed = new TimedMetadata({
      window: this.#window,
      epoch,
      clock,
      log,
      // A slate has no times of the publisher's.
      dateOf: (atMs) => (this.#slate ? clock.now() : segmenter.dateOf(atMs)),
    })
    return segmenter
  }

  #prepare(segmenter: Segmenter): void {
    const { signal } = this.#closing
    this.#pictures.prepare(segmenter.facts.framesPerSecond, signal).catch((error: unknown) => {
      if (signal.aborted) return
      const reason = describeError(error)
      this.#options.log.warn('no slate could be made', { stream: this.name, reason })
    })
  }

  /** After `ms` it looks whether a frame came meanwhile. */
  #watchSilence(ms: number): void {
    const { clock, slateSeconds } = this.#options
    const due = clock.monotonic() + ms
    this.#silence = clock.after(ms, () => {
      const now = clock.monotonic()
      const leftMs = now - due > LATE_MS ? LATE_MS : this.#lastFrameAt + slateSeconds * 1000 - now
      if (leftMs > 1) this.#watchSilence(leftMs)
      else this.#startSlate()
    })
  }

  #startSlate(): void {
    const { clock, random } = this.#options
    const { partTargetSeconds, playable } = this.#window
    const set =
      partTargetSeconds !== undefined && playable
        ? this.#pictures.slate(partTargetSeconds)
        : undefined
    if (!set) return
    this.#stopFilling()
    const startedAt = Math.max(endOf(this.#window), clock.now() - FILL_MS)
    const backMs = Math.max(0, clock.now() - startedAt)
    const epoch = readableToken(random, EPOCH_LENGTH)
    this.#options.onSlate(this.#window, epoch)
    const segmenter = this.#fill(epoch, backMs)
    this.#slate = new SlateFeed(set, segmenter, clock, clock.now() - backMs)
    this.#become('slate')
  }

  /** The publisher may still be there, silent. */
  #stopFilling(): void {
    this.#silence?.[Symbol.dispose]()
    this.#preparing?.[Symbol.dispose]()
    this.#ladder?.[Symbol.dispose]()
    this.#ladder = undefined
    this.#slate?.[Symbol.dispose]()
    this.#slate = undefined
    this.#segmenter?.finish()
    this.#segmenter = undefined
    this.#timed = undefined
  }

  #stopAll(): void {
    this.#reading?.[Symbol.dispose]()
    this.#reading = undefined
    this.#stopFilling()
  }

  #publisherGone(): void {
    this.#stream = undefined
    if (this.#slate) {
      this.#startGrace()
      return
    }
    const silence = this.#silence
    this.#silence = undefined
    this.#stopAll()
    if (this.#frozen) silence?.[Symbol.dispose]()
    else {
      this.#waitForPublisher()
      this.#silence = silence
    }
  }

  #waitForPublisher(): void {
    this.#become('waiting')
    this.#startGrace()
  }

  #startGrace(): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = this.#options.clock.after(this.#options.graceSeconds * 1000, () => this.#end())
  }

  #end(): void {
    this.#stopAll()
    this.#stream = undefined
    this.#window.apply({ kind: 'end' })
    this.#become('ended')
    // Long enough for the last viewers to play to the end.
    this.#timer = this.#options.clock.after(this.#options.windowSeconds * 2000, () => {
      this.#become('dropped')
      this.#closing.abort()
      this.#window.release()
      this.#onDropped(this)
    })
  }

  #become(state: ChannelState): void {
    if (state !== 'slate') this.#timer?.[Symbol.dispose]()
    if (state === this.#state) return
    if (!NEXT[this.#state].includes(state)) return
    this.#options.log.info('live stream', { stream: this.name, state, from: this.#state })
    this.#state = state
  }

  #newWindow(): LiveWindow {
    const { clock, random, windowSeconds, dvrSeconds, limits } = this.#options
    const window = new LiveWindow(
      {
        kind: 'open',
        id: readableToken(random, 12),
        name: this.name,
        bornAt: clock.now(),
        windowSeconds,
        dvrSeconds,
      },
      limits,
    )
    this.#count(window)
    return window
  }

  #count(window: LiveWindow): void {
    this.#options.onWindow(window)
    window.listen((event) => {
      if (event.kind === 'part') this.#options.onPart()
    })
  }
}

/** As those of publishes. */
const EPOCH_LENGTH = 8
