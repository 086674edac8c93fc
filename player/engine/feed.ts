import { browserClock } from './clock.ts'
import { fetchText } from './kept-text.ts'
import { type MediaList, type Piece, piecesAfter, readMedia } from './read-playlist.ts'

/** So many parts are on their way at once. Of segments only one: a second would take from the first one's network. */
const AHEAD = 4
/** For so long the piece that is on its way may come to its end, which saves fetching it twice. */
const LAST_PIECE_MS = 3000
/** More than this is not kept for a timestamp that does not come. Bytes. */
const FIRST_MOST = 4_000_000

export interface FeedOptions {
  /** A piece is appended when all of it is there: with picture and sound one behind the other nothing is shown before. */
  readonly whole: boolean
  /** Waited for after the first piece: what comes second takes network and processor from the first picture. */
  readonly between: Promise<unknown> | undefined
  /** The init section. */
  readonly onInit: (bytes: Uint8Array) => void
  /** What has come of the first piece; the offset of its timestamps in seconds, or undefined while that is too little. */
  readonly onFirst: (bytes: Uint8Array) => Promise<number> | undefined
}

/** Fetches the pieces of one rendition in order, appends them as they arrive, and goes on with what a live one gets. */
export class Feed {
  readonly #list: MediaList
  readonly #options: FeedOptions
  readonly #signal: AbortSignal
  readonly #stopping = new AbortController()
  readonly #queue: { readonly piece: Piece; response?: Promise<Response> }[]
  /** Settles when this feed can't go on; never while it can, or when it was stopped. */
  readonly failed: Promise<void>
  #fail: () => void = () => {}
  #init: Promise<Response> | undefined
  #buffer: SourceBuffer | undefined
  #running: Promise<void> = Promise.resolve()
  #placed = false
  #held: Uint8Array = new Uint8Array()
  #stopped = false
  #inPiece = false

  constructor(
    list: MediaList,
    pieces: readonly Piece[],
    signal: AbortSignal,
    options: FeedOptions,
  ) {
    this.#list = list
    this.#signal = AbortSignal.any([signal, this.#stopping.signal])
    this.#options = options
    this.#queue = pieces.map((piece) => ({ piece }))
    this.failed = new Promise((resolve) => (this.#fail = resolve))
  }

  get buffer(): SourceBuffer | undefined {
    return this.#buffer
  }

  /** Asks for what is appended first. */
  fetch(): void {
    this.#init = this.#ask(this.#list.mapUrl)
    this.#askAhead()
  }

  open(buffer: SourceBuffer): void {
    this.#buffer = buffer
    this.#running = this.#run(buffer).catch(() => {
      if (!this.#signal.aborted) this.#fail()
    })
  }

  /** Nothing is appended any more when this settles. */
  async stop(atOnce: boolean): Promise<void> {
    this.#stopped = true
    const cut = () => this.#stopping.abort()
    if (atOnce || !this.#inPiece) cut()
    const cancel = browserClock.after(LAST_PIECE_MS, cut)
    await this.#running
    cancel()
    cut()
  }

  async #run(buffer: SourceBuffer): Promise<void> {
    const init = await readAll((await this.#init) ?? Response.error())
    this.#options.onInit(init)
    await this.#append(buffer, init)
    let { next } = this.#list
    for (;;) {
      for (let entry = this.#queue.shift(); entry; entry = this.#queue.shift()) {
        this.#inPiece = true
        const response = await (entry.response ?? this.#ask(entry.piece.url))
        this.#askAhead()
        await this.#appendPiece(buffer, response)
        this.#inPiece = false
        await this.#between()
        if (this.#stopped) return
      }
      if (!next) return
      const url = new URL(this.#list.url)
      url.searchParams.set('_HLS_msn', `${next.msn}`)
      url.searchParams.set('_HLS_part', `${next.part}`)
      const { text, url: from } = await fetchText(url.href, this.#signal)
      const list = readMedia(text, from)
      if (!list || list.mapUrl !== this.#list.mapUrl) return
      this.#queue.push(...piecesAfter(list, next.msn, next.part).map((piece) => ({ piece })))
      next = list.next
      this.#askAhead()
    }
  }

  async #between(): Promise<void> {
    if (this.#queue.length === 0) return
    const cut = new Promise((resolve) => this.#signal.addEventListener('abort', resolve))
    await Promise.race([this.#options.between, cut])
  }

  async #appendPiece(buffer: SourceBuffer, response: Response): Promise<void> {
    if (!response.body) throw new Error('no body')
    if (this.#options.whole) {
      await this.#appendBytes(buffer, await readAll(response))
      return
    }
    // Playing begins before the piece is whole.
    const reader = response.body.getReader()
    for (let read = await reader.read(); !read.done; read = await reader.read())
      await this.#appendBytes(buffer, read.value)
  }

  /** The first bytes wait for the timestamp in them. */
  async #appendBytes(buffer: SourceBuffer, bytes: Uint8Array): Promise<void> {
    if (this.#placed) {
      await this.#append(buffer, bytes)
      return
    }
    this.#held = concat(this.#held, bytes)
    const offset = await this.#options.onFirst(this.#held)
    if (offset === undefined) {
      if (this.#held.length > FIRST_MOST) throw new Error('no timestamp')
      return
    }
    this.#placed = true
    buffer.timestampOffset = offset
    await this.#append(buffer, this.#held)
    this.#held = new Uint8Array()
  }

  #askAhead(): void {
    if (this.#stopped) return
    for (const [i, entry] of this.#queue.slice(0, AHEAD).entries()) {
      const small = entry.piece.part >= 0
      if (!small && (i > 0 || this.#inPiece)) return
      entry.response ??= this.#ask(entry.piece.url)
    }
  }

  /** Not yet awaited by anybody when it fails: that is no unhandled rejection. */
  #ask(url: string): Promise<Response> {
    const asked = fetch(url, { signal: this.#signal }).then((response) => {
      if (!response.ok) throw new Error(`status ${response.status}`)
      return response
    })
    asked.catch(() => {})
    return asked
  }

  #append(buffer: SourceBuffer, bytes: Uint8Array): Promise<void> {
    this.#signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const settle = (event: Event) => {
        buffer.removeEventListener('updateend', settle)
        buffer.removeEventListener('error', settle)
        if (event.type === 'updateend') resolve()
        else reject(new Error('not appended'))
      }
      buffer.addEventListener('updateend', settle)
      buffer.addEventListener('error', settle)
      buffer.appendBuffer(new Uint8Array(bytes))
    })
  }
}

async function readAll(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer())
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
