import type { Clock } from '../lib/clock.ts'
import type { Rendition } from './segment.ts'
import type { LiveWindow } from './window.ts'

/**
 * Makes a JPEG of the first picture of a piece of media, at most `width` pixels wide; undefined when it can't be made here. Rejects never.
 */
export type MakePicture = (
  media: readonly Uint8Array[],
  width: number,
) => Promise<Uint8Array | undefined>

/** A poster is as new as that. */
export const POSTER_SECONDS = 5
/** Few, so that nobody makes the server draw one for each pixel; a width between them is the next larger one. */
const WIDTHS = [160, 320, 480, 640, 960, 1280, 1920] as const
const DEFAULT_WIDTH = 1280
/** Jobs that may wait for the one that runs; past it there is what was made last. */
const JOBS_MAX = 32

interface Poster {
  readonly madeAt: number
  /** The last one that could be made. */
  readonly jpeg: Uint8Array | undefined
}

/** Pictures of live streams, made when somebody asks, and again when they are older than `POSTER_SECONDS`. */
export class Posters {
  readonly #make: MakePicture
  readonly #clock: Clock
  readonly #made = new WeakMap<LiveWindow, Map<number, Poster>>()
  readonly #making = new WeakMap<LiveWindow, Map<number, Promise<Poster>>>()
  #jobs = 0

  constructor(make: MakePicture, clock: Clock) {
    this.#make = make
    this.#clock = clock
  }

  /** The newest key frame as a JPEG; undefined when the stream has none, or none can be made. */
  async get(window: LiveWindow, asked: number | undefined): Promise<Uint8Array | undefined> {
    const wanted = asked ?? DEFAULT_WIDTH
    const width = WIDTHS.find((one) => one >= wanted) ?? DEFAULT_WIDTH
    const known = this.#made.get(window)?.get(width)
    const age = known ? this.#clock.monotonic() - known.madeAt : Number.POSITIVE_INFINITY
    if (known && age < POSTER_SECONDS * 1000) return known.jpeg
    const running = of(this.#making, window)
    let job = running.get(width)
    if (!job) {
      if (this.#jobs >= JOBS_MAX) return known?.jpeg
      job = this.#draw(window, width, known).finally(() => running.delete(width))
      running.set(width, job)
    }
    return (await job).jpeg
  }

  async #draw(window: LiveWindow, width: number, former: Poster | undefined): Promise<Poster> {
    this.#jobs++
    try {
      const media = newestKeyFrame(window)
      const jpeg = media && (await this.#make(media, width))
      const poster = { madeAt: this.#clock.monotonic(), jpeg: jpeg ?? former?.jpeg }
      of(this.#made, window).set(width, poster)
      return poster
    } finally {
      this.#jobs--
    }
  }
}

/** The width in a raw query: a whole number of pixels; undefined for none, 'bad' for another. */
export function readWidth(query: string): number | undefined | 'bad' {
  const said = new URLSearchParams(query).get('width')
  if (said === null) return undefined
  return /^[1-9]\d{0,4}$/.test(said) ? Number(said) : 'bad'
}

/** The init section and the newest part that begins with a key frame: what a decoder needs for one picture. */
function newestKeyFrame(window: LiveWindow): readonly Uint8Array[] | undefined {
  const rendition = window.renditions.find(isPicture)
  if (!rendition) return undefined
  for (const segment of rendition.segments.toReversed()) {
    if (segment.gap) continue
    const part = segment.parts.findLast((one) => one.independent && one.bytes !== undefined)
    const init = window.init(rendition.id, segment.init)
    if (part?.bytes && init) return [init, part.bytes]
  }
  return undefined
}

/** The publisher's own, before the rungs made of it. */
function isPicture({ facts, retired, bitsPerSecond }: Rendition): boolean {
  return facts.kind === 'video' && !retired && bitsPerSecond === 0
}

function of<V>(all: WeakMap<LiveWindow, Map<number, V>>, window: LiveWindow): Map<number, V> {
  let found = all.get(window)
  if (!found) {
    found = new Map()
    all.set(window, found)
  }
  return found
}
