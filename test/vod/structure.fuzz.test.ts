import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { silentLog } from '../../server/lib/log.ts'
import { FilmShelf } from '../../server/vod/film-shelf.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'
import { convertFilm, makeFilm } from '../support/media.ts'
import { checkInit, checkSegment } from './check-segment.ts'
import { mutated, mutation } from './mutate-boxes.ts'
import { type Answer, ask, NEVER, type Shelf, shelfWith } from './play.ts'

const SMALL = { seconds: 3, size: '96x64', rate: 12, gop: 12, bframes: 2 } as const

/** Each is a real film of some 30 KB. */
const FILMS: Readonly<Record<string, () => Promise<string>>> = {
  'with its index last': () => makeFilm(SMALL),
  'with its index first': () => makeFilm({ ...SMALL, layout: 'moov-first' }),
  'in fragments': () => makeFilm({ ...SMALL, layout: 'fragmented' }),
  'in fragments with an index': () =>
    makeFilm({ ...SMALL, extra: ['-movflags', '+frag_keyframe+dash+global_sidx'] }),
  'of sounds alone': () => makeFilm({ seconds: 3, video: false }),
  'of sounds in several languages': async () => {
    const [film, sound] = [await makeFilm(SMALL), await makeFilm({ seconds: 3, video: false })]
    const maps = ['-map', '0', '-map', '1', '-metadata:s:a:1', 'language=deu', '-c', 'copy']
    return convertFilm(['-i', film, '-i', sound], maps, 'mp4')
  },
  'with an edit list': async () =>
    convertFilm(['-ss', '1.4', '-i', await makeFilm(SMALL)], ['-c', 'copy'], 'mp4'),
}

const MEANT = [200, 403, 415, 422]
/** What one answer may cost: reads of the store, and looks at the clock, of which there is one each some thousand entries. */
const READS_MOST = 80
const LOOKS_MOST = 100_000

/** Of a deep run: a film whose sounds claim three days has 65,536 segments to list, many times. */
const LONGEST_MS = 60_000

/** Asks as a player does, and holds each answer against what it may be and what it may cost. */
class Viewer {
  readonly #shelf: Shelf
  readonly #film: Uint8Array
  #looks = 0
  #asked = 0

  private constructor(shelf: Shelf, film: Uint8Array) {
    this.#shelf = shelf
    this.#film = film
    const { clock, store } = shelf
    const monotonic = clock.monotonic.bind(clock)
    clock.monotonic = () => {
      this.#looks += 1
      return monotonic()
    }
    store.before = async ({ range }) => {
      const all = range && 'start' in range ? (range.end ?? film.length) - range.start : film.length
      this.#asked += Math.min(film.length, all + 1)
    }
  }

  static async of(film: Uint8Array): Promise<Viewer> {
    return new Viewer(await shelfWith({ film }), film)
  }

  async #ask(path: string): Promise<Answer> {
    const before = this.#shelf.store.reads.length
    this.#looks = 0
    this.#asked = 0
    const answer = await ask(this.#shelf, path)
    expect(this.#shelf.store.reads.length - before).toBeLessThanOrEqual(READS_MOST)
    expect(this.#asked).toBeLessThanOrEqual(this.#film.length * READS_MOST)
    expect(this.#looks).toBeLessThanOrEqual(LOOKS_MOST)
    expect(answer.bytes.length).toBeLessThanOrEqual(8_000_000 + this.#film.length * READS_MOST)
    if (answer.status === 200) {
      expect(answer.headers['content-length']).toBe(String(answer.bytes.length))
    } else {
      const { code, message } = JSON.parse(answer.text) as Record<string, unknown>
      expect([typeof code, typeof message]).toEqual(['string', 'string'])
      expect(message).toMatch(/\w+ \w+/)
    }
    return answer
  }

  async watch(): Promise<number> {
    const master = await this.#ask('/vod/film/index.m3u8')
    expect(MEANT).toContain(master.status)
    if (master.status !== 200) return master.status
    const { indexBytes, segments } = await this.#shelf.origin.probe('film', NEVER)
    expect(indexBytes).toBeLessThanOrEqual(2_000_000 + 16 * this.#film.length + 100 * segments)
    const uris = new Set(master.text.match(/[0-9a-f]{16}\/[a-z0-9]+\.m3u8/g))
    expect(uris.size).toBeGreaterThan(0)
    for (const uri of uris) await this.#watchRendition(uri)
    return 200
  }

  async #watchRendition(uri: string): Promise<void> {
    const base = `/vod/film/${uri.split('/')[0]}`
    const { status, text } = await this.#ask(`/vod/film/${uri}`)
    expect(status).toBe(200)
    const playlist = readPlaylist(text)
    if (playlist.kind !== 'media') throw new Error(text)
    const { segments } = playlist
    const target = Number(/TARGETDURATION:(\d+)/.exec(text)?.[1])
    let last: ReadonlyMap<number, bigint> = new Map()
    const looked = new Set([...segments.slice(0, 6), ...segments.slice(-2)])
    for (const segment of looked) {
      expect(Math.round(segment.durationSeconds)).toBeLessThanOrEqual(target)
      const init = await this.#ask(`${base}/${segment.map}`)
      expect(init.status).toBe(200)
      const tracks = checkInit(init.bytes)
      const answer = await this.#ask(`${base}/${segment.uri}`)
      expect([200, 422]).toContain(answer.status)
      if (answer.status !== 200) continue
      const times = checkSegment(answer.bytes)
      for (const [track, time] of times) {
        expect(tracks).toContain(track)
        expect(time >= (last.get(track) ?? 0n)).toBe(true)
      }
      last = new Map([...last, ...times])
    }
    const behind = await this.#ask(
      `${base}/${uri.split('/')[1]?.split('.')[0]}-${segments.length}.m4s`,
    )
    expect(behind.status).toBe(404)
  }
}

describe('a film whose boxes are wrong is played or refused, within bounds', () => {
  for (const [name, make] of Object.entries(FILMS)) {
    it(name, async () => {
      const film = await readFile(await make())
      expect(await (await Viewer.of(mutated(film, []))).watch()).toBe(200)
      const statuses = new Map<number, number>()
      await fc.assert(
        fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
          const viewer = await Viewer.of(mutated(film, mutations))
          const status = await viewer.watch()
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }),
        { numRuns: Math.ceil(FUZZ_RUNS / 2), interruptAfterTimeLimit: LONGEST_MS },
      )
      // What is made up must be neither always harmless nor always refused, or it tests nothing.
      expect([...statuses.keys()]).toEqual(expect.arrayContaining([200, 422]))
    })
  }
})

it('opening damaged films gives all memory back', async () => {
  const film = await readFile(await makeFilm({ ...SMALL, layout: 'fragmented' }))
  const { store, clock } = await shelfWith({})
  const shelf = new FilmShelf({
    store,
    clock,
    log: silentLog,
    maxBytes: 1_000_000,
    loadBytes: 8_000_000,
    onLoad: () => {},
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(mutation, { maxLength: 3 }), { maxLength: 6 }),
      async (films) => {
        for (const [i, mutations] of films.entries())
          await store.write(`${i}`, mutated(film, mutations), { signal: NEVER })
        await Promise.allSettled(
          films.map((_, i) => shelf.current(`${i}`, NEVER, { checkedMs: 0 })),
        )
        expect(shelf.loadBytes).toBe(0)
        expect(shelf.bytes).toBeLessThanOrEqual(1_000_000)
      },
    ),
    { numRuns: Math.ceil(FUZZ_RUNS / 10) },
  )
})

it('a file is given as it is under /media, whatever its boxes say', async () => {
  const film = await readFile(await makeFilm(SMALL))
  const { store } = await shelfWith({})
  const origin = objectStoreOrigin('media', store)
  await fc.assert(
    fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
      const bytes = mutated(film, mutations)
      await store.write('film.mp4', bytes, { signal: NEVER })
      const whole = await ask({ origin }, '/film.mp4')
      expect([whole.status, whole.bytes.equals(bytes)]).toEqual([200, true])
      const part = await ask({ origin }, '/film.mp4', { headers: { range: 'bytes=5-20' } })
      expect([part.status, part.bytes.equals(bytes.subarray(5, 21))]).toEqual([206, true])
    }),
    { numRuns: Math.ceil(FUZZ_RUNS / 10) },
  )
})
