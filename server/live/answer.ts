import { fieldLine, listMembers } from '../http/fields.ts'
import type { Body, Fields, OriginMessage, OriginRequest } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { type ErrorCode, ERRORS, NearcastError } from '../lib/errors.ts'
import {
  type LiveResource,
  type MediaPlaylistName,
  readLiveAddress,
  segmentUri,
} from './address.ts'
import { isReached, isTooFarAhead, readDirectives } from './directives.ts'
import { WindowPlaylists } from './playlists.ts'
import { POSTER_SECONDS, type Posters, readWidth } from './posters.ts'
import type { Rendered } from './rendered.ts'
import { hintedEpoch, nextPart, type Part, type Rendition } from './segment.ts'
import type { LiveWindow } from './window.ts'

/** Gives the window of a live stream; undefined when nobody sends it. May change while a request waits. */
export type FindWindow = (name: string) => LiveWindow | undefined

export interface AnswerDeps {
  readonly find: FindWindow
  readonly clock: Clock
  /** Without it there are no pictures. */
  readonly posters?: Posters | undefined
  /** An object of an archive that a window's memory has let go of; undefined when it is not there either. */
  readonly readStored?:
    | ((
        place: string,
        uri: string,
        signal: AbortSignal,
      ) => Promise<{ readonly length: number; readonly body: Body } | undefined>)
    | undefined
}

/** How long the first viewers of a stream that is about to start are held before they are told that it is not live. */
export const START_WAIT_MS = 5000
/** How long for a rung that was announced and has not begun; a player takes another level at once when it is told. */
const RUNG_WAIT_MS = 1000
/** How long a request waits for media that a new replica knows of and does not have yet. */
const LATE_WAIT_MS = 10_000

const PLAYLIST_TYPE = 'application/vnd.apple.mpegurl'

const playlistsOf = new WeakMap<LiveWindow, WindowPlaylists>()

/** Answers `/live/NAME/…` from windows, the packager's own or replicas, holding what the playlists say may be waited for. */
export async function answerLive(deps: AnswerDeps, request: OriginRequest): Promise<OriginMessage> {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return failure('method-not-allowed', `${request.method} is not for live media`, {
      allow: 'GET, HEAD',
    })
  const address = readLiveAddress(request.path)
  if (!address)
    return failure(
      'not-found',
      'no live stream has such an address; one is watched at /watch/live/NAME',
    )
  const answer = await new Answer(deps, request, address.name).to(address.resource)
  return request.method === 'HEAD' ? { ...answer, body: null } : answer
}

class Answer {
  readonly #deps: AnswerDeps
  readonly #request: OriginRequest
  readonly #name: string

  constructor(deps: AnswerDeps, request: OriginRequest, name: string) {
    this.#deps = deps
    this.#request = request
    this.#name = name
  }

  to(resource: LiveResource): Promise<OriginMessage> | OriginMessage {
    switch (resource.kind) {
      case 'multivariant':
        return this.#multivariant(resource.span)
      case 'media-playlist':
        return this.#mediaPlaylist(resource)
      case 'poster':
        return this.#poster()
      case 'init':
        return this.#init(resource.rendition, resource.uri)
      case 'media':
        return this.#media(resource)
    }
  }

  async #multivariant(span: 'main' | 'dvr'): Promise<OriginMessage> {
    const window = await this.#playableWindow()
    if (!window) return this.#notLive()
    return this.#playlist(
      playlists(window).multivariant(span),
      Math.floor((window.currentTarget ?? 1) / 2),
    )
  }

  async #mediaPlaylist(name: MediaPlaylistName): Promise<OriginMessage> {
    const directives = readDirectives(this.#request.query)
    // B.1: it will never be right.
    if (directives.kind === 'bad')
      return failure('bad-request', directives.reason, keptFor(4 * name.target))
    let window = await this.#playableWindow(name.rendition)
    if (!window) return this.#notLive()
    let rendition = await this.#begunRendition(window, name.rendition)
    if (!rendition || isGone(rendition) || !window.targets.includes(name.target))
      return failure('not-found', `stream ${this.#name} has no such playlist`)
    const { blockUntil, skip } = directives.directives
    const target = Math.max(name.target, window.targetFloor)
    const isOver = (w: LiveWindow, r: Rendition) => w.ended || r.retired
    // §6.2.5.2: after the end the directives mean nothing.
    if (blockUntil && !isOver(window, rendition)) {
      if (isTooFarAhead(rendition, blockUntil, window.partTargetSeconds ?? 1))
        return failure('bad-request', `_HLS_msn=${blockUntil.sequence} is too far ahead`)
      // §6.2.5.2: not longer than three target durations.
      const { sequence, part } = blockUntil
      const what = `${name.rendition} ${sequence} ${part ?? 'whole'}`
      const reached = await this.#until(window, what, 3000 * target, (w) => {
        const r = w.rendition(name.rendition)
        return !r || isOver(w, r) || isReached(r, blockUntil)
      })
      window = this.#deps.find(this.#name)
      rendition = window?.rendition(name.rendition)
      if (!window || !rendition) return this.#notLive()
      if (isGone(rendition))
        return failure('not-found', `stream ${this.#name} has no such playlist (any more)`)
      if (!reached) return failure('unavailable', `segment ${blockUntil.sequence} did not come`)
    }
    if (this.#request.method === 'GET' && standsForViewer(window, rendition)) {
      const part = blockUntil?.part === undefined ? undefined : window.partTargetSeconds
      window.audience.add(part ?? target, this.#deps.clock.monotonic())
    }
    const now = this.#deps.clock.monotonic()
    // Appendix B.1: what was asked for by number stays true for long, the newest for half a target duration.
    const seconds = blockUntil ? 6 * target : Math.floor(target / 2)
    return this.#playlist(playlists(window).media(name, rendition, skip, now), seconds)
  }

  async #poster(): Promise<OriginMessage> {
    const width = readWidth(this.#request.query)
    if (width === 'bad') return failure('bad-request', 'width is a whole number of pixels')
    const window = await this.#playableWindow()
    if (!window) return this.#notLive()
    const jpeg = await this.#deps.posters?.get(window, width)
    if (!jpeg)
      return failure(
        'not-found',
        `there is no picture of ${this.#name}: it has none, or this server has no ffmpeg that can make one`,
      )
    return message(200, jpeg, { 'content-type': 'image/jpeg', ...keptFor(POSTER_SECONDS) })
  }

  async #init(id: string, uri: string): Promise<OriginMessage> {
    const window = await this.#playableWindow(id)
    const bytes = window?.init(id, uri)
    if (window && !bytes) {
      const place = window.rendition(id)?.segments.find((one) => one.init === uri)?.place
      if (place !== undefined) return this.#stored(window, id, place, uri)
    }
    if (!window || !bytes) return this.#gone(uri)
    return this.#mediaMessage(window, window.rendition(id), bytes)
  }

  async #media(resource: Extract<LiveResource, { kind: 'media' }>): Promise<OriginMessage> {
    const { epoch, rendition: id, sequence, part: index } = resource
    const window = this.#deps.find(this.#name)
    const rendition = window?.rendition(id)
    if (!window || !rendition) return this.#notLive()
    const find = () =>
      rendition.segments.findLast((s) => s.sequence === sequence && s.epoch === epoch)
    const segment = find()
    if (index === undefined) {
      if (segment?.place !== undefined && !segment.held)
        return this.#stored(window, id, segment.place, segmentUri(id, segment))
      if (!segment || segment.open || segment.gap)
        return this.#gone(`segment ${sequence}`, sequence < nextPart(rendition).sequence)
      return this.#whole(window, rendition, `${id} ${sequence}`, segment.parts)
    }
    const part = segment?.parts[index]
    const one = `${id} ${sequence} ${index}`
    if (part) return this.#whole(window, rendition, one, [part])
    const isHinted = (w: LiveWindow, r: Rendition | undefined) => {
      if (!r || r.retired || w.ended || hintedEpoch(w, r) !== epoch) return false
      const next = nextPart(r)
      return next.sequence === sequence && next.index === index
    }
    if (isHinted(window, rendition)) {
      // §6.2.6: no byte of a hinted part before all of it can go; another part came instead: 404.
      const over = await this.#until(
        window,
        `${id} not ${epoch} ${sequence} ${index}`,
        3000 * (window.currentTarget ?? 1),
        (w) => !isHinted(w, w.rendition(id)),
      )
      const came = find()?.parts[index]
      if (came) return this.#whole(window, rendition, one, [came])
      if (!over) return failure('unavailable', `part ${sequence}.${index} did not come`)
    }
    const next = nextPart(rendition)
    const isPast = sequence < next.sequence || (sequence === next.sequence && index < next.index)
    return this.#gone(`part ${sequence}.${index}`, isPast)
  }

  /** What left memory. Its failure is that of this request alone. */
  async #stored(
    window: LiveWindow,
    id: string,
    place: string,
    uri: string,
  ): Promise<OriginMessage> {
    const unread = new AbortController()
    try {
      const signal = AbortSignal.any([this.#request.signal, unread.signal])
      const stored = await this.#deps.readStored?.(place, uri, signal)
      if (this.#request.method === 'HEAD') unread.abort()
      if (!stored) return this.#gone(uri)
      const answer = this.#mediaMessage(window, window.rendition(id), stored.body)
      return { ...answer, headers: { ...answer.headers, 'content-length': String(stored.length) } }
    } catch (error) {
      this.#request.signal.throwIfAborted()
      return failureOf(error)
    }
  }

  /** In a replica that was just opened, media of older segments is named before it is there. */
  async #whole(
    window: LiveWindow,
    rendition: Rendition,
    what: string,
    parts: readonly Part[],
  ): Promise<OriginMessage> {
    const isHere = () => parts.every((part) => part.bytes !== undefined)
    if (!isHere()) await this.#until(window, `here ${what}`, LATE_WAIT_MS, isHere)
    const body = parts.flatMap(({ bytes }) => (bytes ? [bytes] : []))
    if (body.length < parts.length) return failure('unavailable', 'the media has not come yet')
    return this.#mediaMessage(window, rendition, body)
  }

  /** The window once it has something to play, of this rendition or of all; a stream that just connected gets a moment. */
  async #playableWindow(id?: string): Promise<LiveWindow | undefined> {
    const plays = (w: LiveWindow) => w.playable || (id !== undefined && w.plays(id))
    const window = this.#deps.find(this.#name)
    if (!window || plays(window)) return window
    await this.#until(window, `plays ${id ?? ''}`, START_WAIT_MS, plays)
    const now = this.#deps.find(this.#name)
    return now && plays(now) ? now : undefined
  }

  /** A rendition of a window that plays; a rung that begins gets a moment until there is enough of it to begin with. */
  async #begunRendition(window: LiveWindow, id: string): Promise<Rendition | undefined> {
    const plays = (w: LiveWindow) => w.plays(id) || w.rendition(id)?.retired !== false
    const isRung = (window.rendition(id)?.bitsPerSecond ?? 0) > 0
    if (isRung && !plays(window)) await this.#until(window, `begun ${id}`, RUNG_WAIT_MS, plays)
    const rendition = window.rendition(id)
    return rendition && rendition.segments.length > 0 ? rendition : undefined
  }

  /** True when `ready`, which `what` names, came to hold in time. Throws when the viewer left. */
  async #until(
    window: LiveWindow,
    what: string,
    ms: number,
    ready: (window: LiveWindow) => boolean,
  ): Promise<boolean> {
    const { signal } = this.#request
    signal.throwIfAborted()
    if (ready(window)) return true
    let late = false
    await new Promise<void>((wake) => {
      const leave = () => {
        seat[Symbol.dispose]()
        deadline[Symbol.dispose]()
        signal.removeEventListener('abort', leave)
        wake()
      }
      // A window that was replaced (a new start, a replica filled anew) releases its waiters, and they ask the new one.
      const seat = window.wait(what, () => ready(window), leave)
      const deadline = this.#deps.clock.after(ms, () => {
        late = true
        leave()
      })
      signal.addEventListener('abort', leave, { once: true })
    })
    signal.throwIfAborted()
    return !late && ready(window)
  }

  #playlist(rendered: Rendered, seconds: number): OriginMessage {
    const gzip = acceptsGzip(this.#request.headers)
    const body = gzip ? rendered.gzip : rendered.plain
    return message(200, body, {
      'content-type': PLAYLIST_TYPE,
      'cache-control': `max-age=${seconds}`,
      vary: 'accept-encoding',
      ...(gzip ? { 'content-encoding': 'gzip' } : {}),
    })
  }

  #mediaMessage(window: LiveWindow, rendition: Rendition | undefined, body: Body): OriginMessage {
    return message(200, body, {
      'content-type': rendition?.facts.kind === 'audio' ? 'audio/mp4' : 'video/mp4',
      // The URL names these bytes and no others; B.1 asks for six target durations.
      'cache-control': `max-age=${6 * Math.max(...window.targets, 1)}, immutable`,
    })
  }

  #notLive(): OriginMessage {
    return failure('stream-not-live', `nobody is sending ${this.#name}`)
  }

  /** `isPast`: it can't come any more. */
  #gone(what: string, isPast = false): OriginMessage {
    const window = this.#deps.find(this.#name)
    if (!window) return this.#notLive()
    // B.1
    const more = isPast ? keptFor(window.currentTarget ?? 1) : {}
    return failure('not-found', `stream ${this.#name} has no ${what} (any more)`, more)
  }
}

/** A rung that stopped for good: players go to another one, which the end of a playlist would keep them from. */
function isGone({ retired, bitsPerSecond }: Rendition): boolean {
  return retired && bitsPerSecond > 0
}

/** Who watches asks for one picture, whatever its size, and maybe for a sound besides. */
function standsForViewer(window: LiveWindow, { facts }: Rendition): boolean {
  return facts.kind === 'video' || window.renditions.every((one) => one.facts.kind === 'audio')
}

function playlists(window: LiveWindow): WindowPlaylists {
  let known = playlistsOf.get(window)
  if (!known) {
    known = new WindowPlaylists(window)
    playlistsOf.set(window, known)
  }
  return known
}

/** For caches of others; our edges keep nothing of `/live`. */
function keptFor(seconds: number): Fields {
  return { 'cache-control': `max-age=${seconds}` }
}

/** An error under `/live` is not kept unless `more` says so: the next second may know better. */
export function failure(code: ErrorCode, sentence: string, more: Fields = {}): OriginMessage {
  const body = Buffer.from(JSON.stringify({ code, message: sentence }))
  return message(ERRORS[code][0], body, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    ...more,
  })
}

/** The failure that an error thrown on the way to a window stands for; addresses and causes are not the viewer's. */
export function failureOf(error: unknown): OriginMessage {
  const code = error instanceof NearcastError ? error.code : 'origin-failed'
  return failure(code, ERRORS[code][1])
}

function message(status: number, body: Body, headers: Fields): OriginMessage {
  return {
    kind: 'message',
    status,
    headers: { ...headers, 'content-length': String(lengthOf(body)) },
    body,
  }
}

function lengthOf(body: Body): number {
  if (body === null) return 0
  if (body instanceof Uint8Array) return body.length
  if (Symbol.asyncIterator in body) return 0
  return body.reduce((length, bytes) => length + bytes.length, 0)
}

/** RFC 9110 §12.5.3: gzip is named, or a star and gzip is not, and its weight is not 0. */
export function acceptsGzip(headers: Fields): boolean {
  let star = false
  for (const member of listMembers(fieldLine(headers, 'accept-encoding'))) {
    const [coding = '', ...parameters] = member.toLowerCase().split(';')
    const refused = parameters.some((parameter) => /^\s*q\s*=\s*0(\.0{0,3})?\s*$/.test(parameter))
    if (/^\s*(x-)?gzip\s*$/.test(coding)) return !refused
    if (coding.trim() === '*') star = !refused
  }
  return star
}
