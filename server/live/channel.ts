import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { type Random, readableToken } from '../lib/random.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import type { StartLadder } from './rung.ts'
import { Segmenter } from './segmenter.ts'
import { LiveWindow, type WindowLimits } from './window.ts'

export interface ChannelOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly partSeconds: number
  readonly segmentSeconds: number
  readonly windowSeconds: number
  readonly dvrSeconds: number
  readonly graceSeconds: number
  readonly limits: WindowLimits
  readonly startLadder: StartLadder | undefined
  /** A window that begins, or goes on. */
  readonly onWindow: (window: LiveWindow) => void
  readonly onPart: () => void
  readonly onDiscontinuity: () => void
}

/** `live`: a publisher sends; `waiting`: it is gone and may come back; `ended`: it did not, the playlists end; `dropped`: nothing is left. */
export type ChannelState = 'live' | 'waiting' | 'ended' | 'dropped'

const NEXT: Readonly<Record<ChannelState, readonly ChannelState[]>> = {
  live: ['live', 'waiting', 'ended'],
  waiting: ['live', 'ended'],
  ended: ['live', 'dropped'],
  dropped: [],
}

/** All publishes of one name, one after the other, and the window they share. */
export class Channel {
  readonly name: string
  readonly #options: ChannelOptions
  readonly #onDropped: (channel: Channel) => void
  #window: LiveWindow
  #segmenter: Segmenter | undefined
  #stream: LiveStream | undefined
  #reading: Disposable | undefined
  #ladder: Disposable | undefined
  #timer: Disposable | undefined
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
    this.#stopReading()
    if (this.#window.ended) {
      const old = this.#window
      this.#window = this.#newWindow()
      old.release()
    }
    const { clock, log, partSeconds, segmentSeconds, startLadder } = this.#options
    const segmenter = new Segmenter({
      window: this.#window,
      epoch: stream.epoch,
      clock,
      log,
      partSeconds,
      segmentSeconds,
      onDiscontinuity: (reason) => {
        this.#options.onDiscontinuity()
        log.info('live discontinuity', { stream: this.name, reason })
      },
    })
    this.#segmenter = segmenter
    this.#stream = stream
    this.#become('live')
    this.#reading = stream.addReader({
      onTracks: (tracks) => segmenter.onTracks(tracks),
      onFrame: (frame) => segmenter.onFrame(frame),
      onEnd: () => {
        if (this.#segmenter === segmenter) this.#publisherGone()
      },
    })
    if (this.#segmenter === segmenter) this.#ladder = startLadder?.(stream, segmenter.rungs)
  }

  /** The operator ends the stream: no grace. */
  end(): void {
    if (this.#state === 'live' || this.#state === 'waiting') this.#end()
  }

  /** Closes what is open and takes no more: the window is about to be saved. */
  freeze(): void {
    this.#frozen = true
    this.#timer?.[Symbol.dispose]()
    this.#stopReading()
  }

  close(): void {
    this.freeze()
    this.#window.release()
  }

  #stopReading(): void {
    this.#reading?.[Symbol.dispose]()
    this.#ladder?.[Symbol.dispose]()
    this.#ladder = undefined
    this.#segmenter?.finish()
  }

  #publisherGone(): void {
    this.#stopReading()
    this.#segmenter = undefined
    this.#stream = undefined
    if (!this.#frozen) this.#waitForPublisher()
  }

  #waitForPublisher(): void {
    this.#become('waiting')
    this.#timer = this.#options.clock.after(this.#options.graceSeconds * 1000, () => this.#end())
  }

  #end(): void {
    this.#stopReading()
    this.#segmenter = undefined
    this.#stream = undefined
    this.#window.apply({ kind: 'end' })
    this.#become('ended')
    // Long enough for the last viewers to play to the end.
    this.#timer = this.#options.clock.after(this.#options.windowSeconds * 2000, () => {
      this.#become('dropped')
      this.#window.release()
      this.#onDropped(this)
    })
  }

  #become(state: ChannelState): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
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
