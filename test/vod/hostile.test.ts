import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { box, fullBox, i32, u16, u32 } from '../../server/formats/isobmff/write-box.ts'
import { makeFilm } from '../support/media.ts'
import { ask, NEVER, playFilm, shelfWith } from './play.ts'

/** Long enough for a machine under load; what these are against took 56 s and more on one without. */
const MOMENT_MS = 15_000

const FTYP = box('ftyp', Buffer.from('isom'), u32(0), Buffer.from('isom'))

/** A moov with one video track whose sample description is that of a real film. */
async function moovWith(tables: readonly Buffer[], ...others: readonly Buffer[]): Promise<Buffer> {
  const film = await readFile(await makeFilm({ seconds: 1, audio: false }))
  const at = film.indexOf('stsd') - 4
  const stsd = film.subarray(at, at + film.readUInt32BE(at))
  const handler = fullBox('hdlr', 0, 0, u32(0), Buffer.from('vide'), u32(0, 0, 0), Buffer.alloc(1))
  const matrix = i32(65536, 0, 0, 0, 65536, 0, 0, 0, 0x40000000)
  const size = u32(160 << 16, 120 << 16)
  const header = fullBox('tkhd', 0, 7, u32(0, 0, 1, 0, 0, 0, 0, 0, 0), matrix, size)
  const times = fullBox('mdhd', 0, 0, u32(0, 0, 1000, 0), u16(0x55c4, 0))
  const media = box('mdia', times, handler, box('minf', box('stbl', stsd, ...tables)))
  return box('moov', box('trak', header, media), ...others)
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

const NO_SAMPLES = [
  fullBox('stts', 0, 0, u32(0)),
  fullBox('stsc', 0, 0, u32(0)),
  fullBox('stsz', 0, 0, u32(0, 0)),
  fullBox('stco', 0, 0, u32(0)),
]

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
