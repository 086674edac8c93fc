import { readStart, readTimescales, type TrackStart } from './box-times.ts'
import { browserClock } from './clock.ts'
import { Feed } from './feed.ts'
import { fetchText, type KeptText } from './kept-text.ts'
import { type MediaList, type Piece, piecesFrom, readMaster, readMedia } from './read-playlist.ts'
import { SharedSource } from './shared-source.ts'

/** A server that has not brought a picture by then is left to hls.js, which knows how to ask again. */
const PATIENCE_MS = 15_000
/** Of a film so much is fetched here, if hls.js takes long to come. Seconds. */
const FILM_SECONDS = 12
/** The browser begins up to a picture beside the place that was asked for. */
const OWN_SEEK_SECONDS = 0.5
/** A picture that is decoded is shown by then; in a page that nobody looks at it never is. */
const SHOWN_MS = 250

/** What hls.js goes on with. */
export interface Opened {
  readonly source: MediaSource
  /** The playlists that the clock of the picture was made from, by address. */
  readonly texts: ReadonlyMap<string, KeptText>
  readonly start: TrackStart
}

export interface OpeningOptions {
  readonly src: string
  readonly startSeconds: number | undefined
  readonly signal: AbortSignal
  /** The source is understood, and media is on its way. */
  readonly onReady: (live: boolean) => void
}

interface Plan {
  readonly video: MediaList
  readonly audio: MediaList | undefined
  readonly mimes: { readonly video: string; readonly audio: string | undefined }
  readonly position: number
}

/**
 * Brings the first picture before hls.js is there: reads the playlists of the first variant, fetches init section and first
 * media of picture and sound side by side, and appends what arrives while it arrives. Understands CMAF in the plain and leaves
 * everything else alone.
 */
export class Opening {
  readonly #video: HTMLVideoElement
  readonly #options: OpeningOptions
  readonly #texts = new Map<string, KeptText>()
  readonly #abort = new AbortController()
  #feeds: readonly Feed[] = []
  #source: MediaSource | undefined
  #start: TrackStart | undefined
  #objectUrl = ''
  /** The viewer has gone elsewhere: what is on its way here is of no use. */
  #left = false

  constructor(video: HTMLVideoElement, options: OpeningOptions) {
    this.#video = video
    this.#options = options
  }

  /** True once a picture is there; false when hls.js has to do it from what there is. Never throws. */
  async picture(): Promise<boolean> {
    const { signal } = this.#abort
    const giveUp = () => this.#abort.abort()
    this.#options.signal.addEventListener('abort', giveUp)
    const cancel = browserClock.after(PATIENCE_MS, giveUp)
    try {
      const plan = await this.#plan()
      if (!plan) return false
      await this.#open(plan)
      const there = await this.#untilPicture(plan.position, signal)
      if (there && !this.#left) await this.#untilShown()
      return there
    } catch {
      return false
    } finally {
      cancel()
      this.#options.signal.removeEventListener('abort', giveUp)
    }
  }

  /** Takes from the video what was put there, unless somebody else has it by now. */
  close(): void {
    this.#abort.abort()
    if (this.#objectUrl === '' || this.#video.src !== this.#objectUrl) return
    this.#video.removeAttribute('src')
    this.#video.load()
  }

  /** What hls.js can begin with; undefined when there is nothing of use. Feeding goes on until `release`. */
  get opened(): Opened | undefined {
    const source = this.#source
    const start = this.#start
    if (source?.readyState !== 'open' || !start || this.#video.error) return undefined
    return { source, texts: this.#texts, start }
  }

  /** Stops feeding. False when what was made is of no use any more. */
  async release(): Promise<boolean> {
    await Promise.all(this.#feeds.map((feed) => feed.stop(this.#left)))
    this.#abort.abort()
    try {
      for (const { buffer } of this.#feeds) {
        if (!buffer) return false
        buffer.abort()
        buffer.timestampOffset = 0
      }
    } catch {
      return false
    }
    return this.opened !== undefined
  }

  async #plan(): Promise<Plan | undefined> {
    const { src, startSeconds } = this.#options
    const master = await this.#fetchText(src)
    const variant = readMaster(master.text, master.url)
    if (!variant) return undefined
    const mimes = mimesOf(variant.codecs, variant.audioUrl !== undefined)
    if (!mimes) return undefined
    const [videoText, audioText] = await Promise.all([
      this.#fetchText(variant.url),
      variant.audioUrl === undefined ? undefined : this.#fetchText(variant.audioUrl),
    ])
    const video = readMedia(videoText.text, videoText.url)
    const audio = audioText && readMedia(audioText.text, audioText.url)
    if (!video || (audioText && !audio)) return undefined
    const edge = Math.max(0, video.end - video.holdBack)
    const position = startSeconds ?? (video.live ? edge : 0)
    return position <= video.end ? { video, audio, mimes, position } : undefined
  }

  async #fetchText(url: string): Promise<KeptText> {
    const kept = await fetchText(url, this.#abort.signal)
    this.#texts.set(url, kept)
    return kept
  }

  async #open(plan: Plan): Promise<void> {
    const { video, audio, mimes, position } = plan
    const pieces = firstPieces(video, position)
    const soundPieces =
      audio && firstPieces(audio, soundPosition(video, audio, pieces[0]?.start ?? 0))
    const [first] = pieces
    if (!first || soundPieces?.length === 0) throw new Error('nothing to begin with')
    const { signal } = this.#abort
    const source = new SharedSource()
    this.#source = source
    this.#objectUrl = URL.createObjectURL(source)
    const opened = new Promise((resolve) =>
      source.addEventListener('sourceopen', resolve, { once: true, signal }),
    )
    this.#video.src = this.#objectUrl
    const seek = () => (this.#video.currentTime = position)
    if (position > 0) this.#video.addEventListener('loadedmetadata', seek, { once: true, signal })
    let timescales: ReadonlyMap<number, number> = new Map()
    let settle: (offset: number) => void = () => {}
    const offset = new Promise<number>((resolve) => (settle = resolve))
    // Of a film enough is there for a picture, and for a second after it.
    const enough = !video.live && first.end > position + 1
    const between = enough ? until(this.#video, 'loadeddata') : undefined
    const picture = new Feed(video, pieces, signal, {
      whole: !audio,
      between,
      onInit: (bytes) => (timescales = readTimescales(bytes)),
      onFirst: (bytes) => {
        const start = readStart(bytes, timescales)
        if (!start) return undefined
        // As hls.js does it: the decode time of the first fragment is where the playlist says that it begins.
        const baseTime = start.baseTime - first.start * start.timescale
        this.#start = { ...start, baseTime }
        settle(-baseTime / start.timescale)
        return offset
      },
    })
    const feeds = [picture]
    if (audio && soundPieces) {
      const sound = new Feed(audio, soundPieces, signal, {
        whole: false,
        between,
        onInit: () => {},
        onFirst: () => offset,
      })
      feeds.push(sound)
    }
    this.#feeds = feeds
    for (const feed of feeds) feed.fetch()
    this.#options.onReady(video.live)
    await opened
    source.duration = video.live ? Number.POSITIVE_INFINITY : video.end
    // Without it nothing is seekable before something is buffered, and a seek is forgotten.
    if (video.live) source.setLiveSeekableRange(0, video.end)
    for (const [i, feed] of feeds.entries())
      feed.open(source.addSourceBuffer((i === 0 ? mimes.video : mimes.audio) ?? ''))
  }

  /** What comes next keeps this thread busy for a while: not before the picture is on the screen, if anybody looks. */
  #untilShown(): Promise<void> {
    return new Promise((resolve) => {
      browserClock.after(SHOWN_MS, resolve)
      if ('requestVideoFrameCallback' in this.#video)
        this.#video.requestVideoFrameCallback(() => browserClock.after(0, resolve))
    })
  }

  /** Or until the viewer wants another one, which is hls.js's to fetch. */
  #untilPicture(position: number, signal: AbortSignal): Promise<boolean> {
    const video = this.#video
    return new Promise((resolve) => {
      const done = (there: boolean) => () => resolve(there)
      if (video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) resolve(true)
      video.addEventListener('loadeddata', done(true), { once: true, signal })
      video.addEventListener('error', done(false), { once: true, signal })
      const onSeeking = () => {
        if (Math.abs(video.currentTime - position) < OWN_SEEK_SECONDS) return
        this.#left = true
        resolve(true)
      }
      video.addEventListener('seeking', onSeeking, { signal })
      signal.addEventListener('abort', done(false))
      for (const feed of this.#feeds) void feed.failed.then(done(false))
    })
  }
}

function until(target: EventTarget, type: string): Promise<unknown> {
  return new Promise((resolve) => target.addEventListener(type, resolve, { once: true }))
}

/** All that a live playlist has from `position` on; of a film the beginning. */
function firstPieces(list: MediaList, position: number): readonly Piece[] {
  const pieces = piecesFrom(list, position)
  const start = pieces[0]?.start ?? 0
  return list.live ? pieces : pieces.filter((piece) => piece.start <= start + FILM_SECONDS)
}

/** Where the sound of `start` is on the clock of its own playlist: by date, or both begin together. */
function soundPosition(video: MediaList, audio: MediaList, start: number): number {
  if (video.startsAt === undefined || audio.startsAt === undefined) return start
  return Math.max(0, start + (video.startsAt - audio.startsAt) / 1000)
}

const AUDIO_CODEC = /^(?:mp4a|ac-3|ec-3|opus|flac|mp3)\b/i

/** One type for each source buffer; undefined when the browser says no to one, or when there is no picture. */
function mimesOf(codecs: readonly string[], apart: boolean): Plan['mimes'] | undefined {
  const sounds = codecs.filter((codec) => AUDIO_CODEC.test(codec))
  const pictures = codecs.filter((codec) => !AUDIO_CODEC.test(codec))
  if (pictures.length !== 1 || sounds.length > 1 || (apart && sounds.length === 0)) return undefined
  const video = `video/mp4;codecs="${(apart ? pictures : codecs).join(',')}"`
  const audio = apart ? `audio/mp4;codecs="${sounds.join(',')}"` : undefined
  const known = [video, ...(audio ? [audio] : [])].every((mime) =>
    MediaSource.isTypeSupported(mime),
  )
  return known ? { video, audio } : undefined
}
