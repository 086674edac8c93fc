import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { readMovie, readMovieInSteps } from '../../server/formats/isobmff/read-movie.ts'
import { tableMemory } from '../../server/formats/isobmff/read-tables.ts'
import { tableBytes } from '../../server/formats/isobmff/sample-table.ts'
import { box, fullBox, u16, u32 } from '../../server/formats/isobmff/write-box.ts'
import { silentLog } from '../../server/lib/log.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import { FilmShelf } from '../../server/vod/film-shelf.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { makeFilm } from '../support/media.ts'
import { FTYP, moovWith, NO_SAMPLES } from './hostile-film.ts'
import { ask, NEVER, playFilm, shelfWith } from './play.ts'

/** Long enough for a machine under load; what these are against took 56 s and more on one without. */
const MOMENT_MS = 15_000

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

describe('a segment index (sidx)', () => {
  const dash = {
    seconds: 6,
    extra: ['-movflags', '+frag_keyframe+dash+global_sidx', '-frag_duration', '1000000'],
  }

  it('that leaves out boxes between the fragments costs no fragment', async () => {
    const film = await readFile(await makeFilm(dash))
    const short = Buffer.from(film)
    const sidx = film.indexOf('sidx')
    const count = film.readUInt16BE(sidx + 4 + 4 + 8 + (film[sidx + 4] === 0 ? 8 : 16) + 2)
    const references = sidx + 4 + 4 + 8 + (film[sidx + 4] === 0 ? 8 : 16) + 4
    expect(count).toBeGreaterThan(3)
    for (let i = 0; i < count; i += 1) {
      const at = references + i * 12
      short.writeUInt32BE(film.readUInt32BE(at) - 53, at)
    }
    const shelf = await shelfWith({ film, short })
    const [played, wanted] = [await playFilm(shelf, 'short'), await playFilm(shelf, 'film')]
    expect(played.segments).toEqual(wanted.segments)
  })

  it('that names indexes which name the same bytes over and over takes a moment', async () => {
    const count = 65_535
    const references = (word: number) =>
      Buffer.concat(Array.from({ length: count }, () => u32(word, 1, 0)))
    const names = u16(0, count)
    const outer = fullBox('sidx', 0, 0, u32(1, 1000, 0, 0), names, references(0x8000_0000 + 44))
    const inner = Buffer.concat([
      u32(32 + 12 * count),
      Buffer.from('sidx'),
      u32(0, 1, 1000, 0, 0),
      names,
      u32(1, 1, 0),
    ])
    const extend = box('mvex', fullBox('trex', 0, 0, u32(1, 1, 0, 0, 0)))
    const nested = Array.from({ length: count }, () => inner)
    const film = Buffer.concat([
      FTYP,
      await moovWith(NO_SAMPLES, extend),
      outer,
      ...nested,
      references(1),
    ])
    const began = performance.now()
    const { status } = await ask(await shelfWith({ film }), '/vod/film/index.m3u8')
    expect(status).toBe(422)
    expect(performance.now() - began).toBeLessThan(MOMENT_MS)
  })
})

describe('boxes before the index', () => {
  it('are stepped over, however many and large they are', async () => {
    const size = 9 * 1024 * 1024
    const free = Buffer.concat([u32(size), Buffer.from('free')])
    const shelf = await shelfWith({ film: FTYP })
    const { info: real } = await shelf.store.read('film', { signal: NEVER })
    const info = { ...real, size: FTYP.length + 64 * size }
    let bytes = 0
    shelf.store.read = async (_, { range }) => {
      const [start, end] =
        range && 'start' in range
          ? [range.start, Math.min(info.size, (range.end ?? info.size) + 1)]
          : [info.size - (range?.suffix ?? info.size), info.size]
      const part = Buffer.alloc(end - start)
      bytes += part.length
      if (start === 0) part.set(FTYP)
      for (let i = 0; i < 64; i += 1) {
        const at = FTYP.length + i * size - start
        if (at >= 0 && at + 8 <= part.length) part.set(free, at)
      }
      return { info, start, length: part.length, body: only(part) }
    }
    expect((await ask(shelf, '/vod/film/index.m3u8')).status).toBe(422)
    expect(bytes).toBeLessThan(16 * 1024 * 1024)
  })
})

describe('the memory of an index', () => {
  it('is counted whole, where little of its tables and descriptions is used too', async () => {
    const count = 100_000
    const media = box('mdat', Buffer.alloc(1000))
    const offsets = Buffer.alloc(count * 4)
    offsets.writeUInt32BE(FTYP.length + 8, 0)
    const tables = [
      fullBox('stts', 0, 0, u32(1, 10, 40)),
      fullBox('stsc', 0, 0, u32(1, 1, 10, 1)),
      fullBox('stsz', 0, 0, u32(100, 10)),
      fullBox('stco', 0, 0, u32(count), offsets),
    ]
    const film = Buffer.concat([FTYP, media, await moovWith(tables)])
    const { indexBytes } = await (await shelfWith({ film })).origin.probe('film', NEVER)
    // A Float64 and a Uint32 by chunk.
    expect(indexBytes).toBeGreaterThan(count * 12)
  })
})

/** As many key frames as samples, a chunk each, all at one place of the file. */
async function longFilm(samples: number): Promise<Buffer> {
  const numbers = (of: (i: number) => readonly number[]) =>
    Buffer.concat(Array.from({ length: samples }, (_, i) => u32(...of(i))))
  const tables = [
    fullBox(
      'stts',
      0,
      0,
      u32(samples),
      numbers((i) => [1, 16 + (i % 2)]),
    ),
    fullBox(
      'ctts',
      0,
      0,
      u32(samples),
      numbers((i) => [1, i % 2]),
    ),
    fullBox('stsc', 0, 0, u32(1, 1, 1, 1)),
    fullBox(
      'stsz',
      0,
      0,
      u32(0, samples),
      numbers((i) => [100 + (i % 50)]),
    ),
    fullBox(
      'stco',
      0,
      0,
      u32(samples),
      numbers(() => [FTYP.length + 8]),
    ),
  ]
  return Buffer.concat([FTYP, box('mdat', Buffer.alloc(200)), await moovWith(tables)])
}

describe('a long index', () => {
  it('is read with a stop at least every few thousand entries of its tables', async () => {
    const samples = 100_000
    const film = await longFilm(samples)
    const steps = readMovieInSteps(film.subarray(film.lastIndexOf('moov') - 4))
    let stops = 0
    for (let step = steps.next(); !step.done; step = steps.next()) stops += 1
    expect(stops).toBeGreaterThan((6 * samples) / 10_000)
  })

  it('lets others of the process go on while it becomes a film', async () => {
    const shelf = await shelfWith({ film: await longFilm(100_000) })
    let now = 0
    // Each look at this clock takes a millisecond, so that the count does not depend on the machine.
    shelf.clock.monotonic = () => {
      now += 1
      return now
    }
    let rounds = 0
    let over = false
    const turn = () => {
      rounds += 1
      if (!over) setImmediate(turn)
    }
    setImmediate(turn)
    const { status } = await ask(shelf, '/vod/film/index.m3u8')
    over = true
    expect(status).toBe(200)
    expect(rounds).toBeGreaterThan(20)
  })

  it('of more than what is read of it at first is read whole', async () => {
    const film = await longFilm(300_000)
    const probed = await (await shelfWith({ film })).origin.probe('film', NEVER)
    expect(probed.tracks[0]?.samples).toBe(300_000)
    expect(film.length).toBeGreaterThan(6 * 1024 * 1024)
  })
})

describe('the memory of films that are being opened', () => {
  it('is bounded: those beyond it wait, and all of them play', async () => {
    const film = await longFilm(20_000)
    const keys = Array.from({ length: 8 }, (_, i) => `film${i}`)
    const store = openMemoryStore({ clock: new FakeClock() })
    for (const key of keys) await store.write(key, film, { signal: NEVER })
    let most = 0
    // Two of them have room beside each other.
    const loadBytes = 2 * (film.length + tableMemory(film.length))
    const shelf: FilmShelf = new FilmShelf({
      store: {
        ...store,
        read: (key, options) => {
          most = Math.max(most, shelf.loadBytes)
          return store.read(key, options)
        },
      },
      clock: new FakeClock(),
      log: silentLog,
      maxBytes: 2 ** 30,
      loadBytes,
      onLoad: () => {},
    })
    const films = await Promise.all(keys.map((key) => shelf.current(key, NEVER)))
    expect(films.every(({ renditions }) => renditions.length === 1)).toBe(true)
    expect(most).toBeLessThanOrEqual(loadBytes)
    expect(shelf.loadBytes).toBe(0)
  })

  it('is reserved for the tables of fragments before they grow, and for putting them together', async () => {
    const samples = 400_000
    const durations = Buffer.alloc(samples * 4)
    for (let i = 0; i < samples; i += 1) durations.writeUInt32BE(40 + (i % 2), i * 4)
    const header = fullBox('tfhd', 0, 0x20010, u32(1, 1))
    const moof = box(
      'moof',
      box('traf', header, fullBox('trun', 0, 0x100, u32(samples), durations)),
    )
    const extend = box('mvex', fullBox('trex', 0, 0, u32(1, 1, 0, 0, 0)))
    const start = Buffer.concat([FTYP, await moovWith(NO_SAMPLES, extend), moof])
    const film = Buffer.concat([start, box('mdat', Buffer.alloc(8 * samples))])
    const clock = new FakeClock()
    const store = openMemoryStore({ clock })
    await store.write('film', film, { signal: NEVER })
    const shelf = new FilmShelf({
      store,
      clock,
      log: silentLog,
      maxBytes: 2 ** 30,
      onLoad: () => {},
    })
    let most = 0
    clock.monotonic = () => {
      most = Math.max(most, shelf.loadBytes)
      return 0
    }
    const { indexBytes } = await shelf.current('film', NEVER)
    expect(indexBytes).toBeGreaterThan(16 * samples)
    expect(most).toBeGreaterThan(indexBytes)
    expect(shelf.loadBytes).toBe(0)
  })

  it('is given back by a film that is refused', async () => {
    const store = openMemoryStore({ clock: new FakeClock() })
    await store.write('film', Buffer.concat([FTYP, box('moov', Buffer.alloc(99))]), {
      signal: NEVER,
    })
    const clock = new FakeClock()
    const shelf = new FilmShelf({ store, clock, log: silentLog, maxBytes: 1, onLoad: () => {} })
    await expect(shelf.current('film', NEVER)).rejects.toThrow(/^media-/)
    expect(shelf.loadBytes).toBe(0)
  })
})

describe('samples that no bytes are there for', () => {
  it('get no composition offsets of more memory than the index has bytes for', async () => {
    const count = 10_000_000
    const media = box('mdat', Buffer.alloc(1000))
    const tables = [
      fullBox('stts', 0, 0, u32(1, count, 1)),
      fullBox('ctts', 0, 0, u32(1, count, 1)),
      fullBox('stsc', 0, 0, u32(1, 1, count, 1)),
      fullBox('stsz', 0, 0, u32(1, count)),
      fullBox('stco', 0, 0, u32(1, FTYP.length + 8)),
    ]
    const film = Buffer.concat([FTYP, media, await moovWith(tables)])
    const moov = film.subarray(film.lastIndexOf('moov') - 4)
    const bytes = readMovie(moov).tracks.map(({ samples }) => tableBytes(samples))
    expect(Math.max(...bytes)).toBeLessThanOrEqual(tableMemory(moov.length))
    const { status } = await ask(await shelfWith({ film }), '/vod/film/index.m3u8')
    expect(status).toBe(422)
  })

  it('end a film in fragments where they are more than its bytes allow', async () => {
    const defaults = box('mvex', fullBox('trex', 0, 0, u32(1, 1, 1, 0, 0)))
    const run = fullBox('trun', 0, 0, u32(60_000))
    const traf = box('traf', fullBox('tfhd', 0, 0x20000, u32(1)), ...Array<Buffer>(100).fill(run))
    const fragment = Buffer.concat([box('moof', traf), box('mdat', Buffer.alloc(8))])
    const film = Buffer.concat([
      FTYP,
      await moovWith(NO_SAMPLES, defaults),
      ...Array<Buffer>(10).fill(fragment),
    ])
    const { truncated, tracks } = await (await shelfWith({ film })).origin.probe('film', NEVER)
    // Sixty million are claimed.
    expect([truncated, tracks[0]?.samples]).toEqual([true, 60_000])
  })
})

describe('sample tables', () => {
  // 2^26 samples of one byte in 64 chunks at one place: a megabyte of file.
  const COUNT = 2 ** 26
  const CHUNKS = 64
  const claims = async (delta: number, ...others: readonly Buffer[]) => {
    const media = box('mdat', Buffer.alloc(COUNT / CHUNKS))
    const offsets = Array.from({ length: CHUNKS }, () => FTYP.length + 8)
    const tables = [
      fullBox('stts', 0, 0, u32(1, COUNT, delta)),
      fullBox('stsc', 0, 0, u32(1, 1, COUNT / CHUNKS, 1)),
      fullBox('stsz', 0, 0, u32(1, COUNT)),
      fullBox('stco', 0, 0, u32(CHUNKS, ...offsets)),
      ...others,
    ]
    return Buffer.concat([FTYP, media, await moovWith(tables)])
  }

  for (const delta of [0, 1, 40, 1000]) {
    it(`that claim 67 million key frames ${delta} ms apart take a moment`, async () => {
      const shelf = await shelfWith({ film: await claims(delta) })
      const began = performance.now()
      const { status } = await ask(shelf, '/vod/film/index.m3u8')
      expect([200, 422]).toContain(status)
      expect(performance.now() - began).toBeLessThan(MOMENT_MS)
    })
  }
})

it('a segment whose last place no field of its header can name is refused with the film', async () => {
  // 63 samples of one place, together a byte short of 2^31, and one more behind them.
  const size = 34_087_042
  const places = Array.from({ length: 64 }, () => FTYP.length + 8)
  const tables = [
    fullBox('stts', 0, 0, u32(1, 64, 40)),
    fullBox('stss', 0, 0, u32(1, 1)),
    fullBox('stsc', 0, 0, u32(1, 1, 1, 1)),
    fullBox('stsz', 0, 0, u32(0, 64, ...Array<number>(63).fill(size), 1)),
    fullBox('stco', 0, 0, u32(64, ...places)),
  ]
  const film = Buffer.concat([FTYP, box('mdat', Buffer.alloc(size)), await moovWith(tables)])
  const shelf = await shelfWith({ film })
  const { status, text } = await ask(shelf, '/vod/film/index.m3u8')
  const version = /[0-9a-f]{16}/.exec(text)?.[0]
  const segment = status === 200 && (await ask(shelf, `/vod/film/${version}/main-0.m4s`, HEAD))
  expect([status, segment, text]).toEqual([415, false, expect.stringContaining('key frames')])
})

const HEAD = { method: 'HEAD' }
