import { describeError } from '../lib/errors.ts'
import { isOwnAddress } from '../lib/own-address.ts'
import type { Demand } from '../stream/until-published.ts'
import { FfmpegPublisher, type FfmpegPublisherDeps, type FfmpegSource } from './ffmpeg-publisher.ts'

export interface PullOptions {
  readonly name: string
  /** rtmp, rtmps, rtsp, http or https; may hold a password. */
  readonly url: string
  /** Also while nobody watches. */
  readonly always: boolean
}

/** `idle`: nobody watches; `backing-off`: the address failed, and is tried again. */
export interface PullReport {
  readonly kind: 'pull'
  readonly name: string
  /** Scheme and host; the rest may be secret. */
  readonly from: string
  readonly state: 'idle' | 'connecting' | 'live' | 'backing-off'
  /** Milliseconds since 1970. */
  readonly since: number
  readonly trouble: string | undefined
}

export interface Pulls extends Demand {
  /** `ownPorts`: where this server listens, so that it is not fed with itself. Nothing is pulled before. */
  begin(ownPorts: () => ReadonlySet<number>): void
  report(): readonly PullReport[]
  close(): void
}

/** Without a viewer for so long a pull ends. */
const UNWATCHED_MS = 30_000
const CHECK_MS = 1000
const RETRY_MIN_MS = 1000
const RETRY_MAX_MS = 30_000

/** Streams from elsewhere, each fetched by ffmpeg while somebody watches. */
export function openPulls(options: readonly PullOptions[], deps: FfmpegPublisherDeps): Pulls {
  const pulls = new Map(options.map((one) => [one.name, new Pull(one, deps)]))
  const checking = deps.clock.every(CHECK_MS, () => {
    for (const pull of pulls.values()) pull.check()
  })
  return {
    wanted: (name) => pulls.get(name)?.wanted() ?? false,
    hold: (name) => pulls.get(name)?.hold(),
    begin: (ownPorts) => {
      for (const pull of pulls.values()) pull.begin(ownPorts)
    },
    report: () => [...pulls.values()].map((pull) => pull.report()),
    close: () => {
      checking[Symbol.dispose]()
      for (const pull of pulls.values()) pull.close()
    },
  }
}

class Pull {
  readonly #options: PullOptions
  readonly #deps: FfmpegPublisherDeps
  #ownPorts: (() => ReadonlySet<number>) | undefined
  #state: PullReport['state'] = 'idle'
  #since: number
  #trouble: string | undefined
  #failures = 0
  #holds = 0
  #wantedAt = Number.NEGATIVE_INFINITY
  #publisher: FfmpegPublisher | undefined
  #retry: Disposable | undefined
  #attempt = 0
  #closed = false

  constructor(options: PullOptions, deps: FfmpegPublisherDeps) {
    this.#options = options
    this.#deps = deps
    this.#since = deps.clock.now()
  }

  begin(ownPorts: () => ReadonlySet<number>): void {
    this.#ownPorts = ownPorts
    if (this.#isWanted()) this.#start()
  }

  wanted(): true {
    this.#wantedAt = this.#deps.clock.monotonic()
    this.#start()
    return true
  }

  hold(): Disposable {
    this.#holds++
    this.wanted()
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (!held) return
        held = false
        this.#holds--
        this.#wantedAt = this.#deps.clock.monotonic()
      },
    }
  }

  check(): void {
    if (this.#state === 'idle' || this.#isWanted()) return
    this.#retry?.[Symbol.dispose]()
    this.#failures = 0
    this.#attempt++
    const publisher = this.#publisher
    this.#publisher = undefined
    publisher?.stop('nobody watches')
    this.#become('idle')
  }

  report(): PullReport {
    const { name } = this.#options
    const from = shown(this.#options.url)
    return {
      kind: 'pull',
      name,
      from,
      state: this.#state,
      since: this.#since,
      trouble: this.#trouble,
    }
  }

  close(): void {
    this.#closed = true
    this.#retry?.[Symbol.dispose]()
    this.#publisher?.stop('the server stops')
  }

  #isWanted(): boolean {
    const { always } = this.#options
    return always || this.#holds > 0 || this.#deps.clock.monotonic() - this.#wantedAt < UNWATCHED_MS
  }

  #start(): void {
    if (this.#state !== 'idle' || this.#closed || !this.#ownPorts) return
    void this.#connect(this.#ownPorts())
  }

  async #connect(ownPorts: ReadonlySet<number>): Promise<void> {
    this.#become('connecting')
    const attempt = ++this.#attempt
    const trouble = await isOwnAddress(this.#options.url, ownPorts).then(
      (own) => (own ? 'the address is one of this server’s own' : undefined),
      describeError,
    )
    if (this.#closed || attempt !== this.#attempt) return
    if (trouble !== undefined) {
      this.#failed(trouble)
      return
    }
    const publisher = new FfmpegPublisher(sourceOf(this.#options), this.#deps, {
      onLive: () => {
        this.#failures = 0
        this.#trouble = undefined
        this.#become('live')
      },
      onOver: (reason) => {
        if (this.#publisher !== publisher) return
        this.#publisher = undefined
        if (!this.#closed) this.#failed(reason)
      },
    })
    this.#publisher = publisher
  }

  #failed(reason: string): void {
    // Nobody wants it any more, or the server stops.
    if (this.#closed || this.#state === 'idle') return
    this.#failures++
    this.#trouble = reason
    this.#become('backing-off')
    const ms = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (this.#failures - 1))
    this.#retry = this.#deps.clock.after(ms, () => {
      if (this.#ownPorts && this.#state === 'backing-off') void this.#connect(this.#ownPorts())
    })
  }

  #become(state: PullReport['state']): void {
    const from = this.#state
    this.#state = state
    this.#since = this.#deps.clock.now()
    const level = state === 'backing-off' && this.#failures === 1 ? 'warn' : 'info'
    const reason = state === 'backing-off' ? this.#trouble : undefined
    this.#deps.log[level]('pull', { stream: this.#options.name, from, to: state, reason })
  }
}

function sourceOf({ name, url }: PullOptions): FfmpegSource {
  const { username, password, search, protocol } = new URL(url)
  return {
    name,
    description: `pull ${shown(url)}`,
    url,
    yields: true,
    ...(READING[protocol] ?? HTTP),
    secrets: [url, password, username, search].filter((secret) => secret !== ''),
  }
}

const TIMEOUT = '10000000'
const ANALYSIS = '1000000'
type Reading = Pick<FfmpegSource, 'protocols' | 'options' | 'inputOptions'>

const HTTP: Reading = {
  // A playlist may name anything: no file of this machine.
  protocols: ['http', 'https', 'tls', 'tcp', 'crypto'],
  options: { rw_timeout: TIMEOUT },
  // What is no live stream would come all at once.
  inputOptions: ['-re'],
}
const RTMP: Reading = {
  protocols: ['rtmp', 'rtmps', 'tls', 'tcp'],
  options: { analyzeduration: ANALYSIS, rw_timeout: TIMEOUT },
  inputOptions: [`-analyzeduration ${ANALYSIS}`],
}
const READING: Readonly<Record<string, Reading>> = {
  'rtmp:': RTMP,
  'rtmps:': RTMP,
  'rtsp:': {
    protocols: ['rtsp', 'rtp', 'tls', 'tcp'],
    options: { analyzeduration: ANALYSIS, rtsp_transport: 'tcp', timeout: TIMEOUT },
    inputOptions: [`-analyzeduration ${ANALYSIS}`],
  },
  'http:': HTTP,
  'https:': HTTP,
}

function shown(url: string): string {
  const { protocol, host } = new URL(url)
  return `${protocol}//${host}`
}
