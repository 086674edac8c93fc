import { describe, expect, it } from 'vitest'
import { box, fullBox, u32 } from '../../server/formats/isobmff/write-box.ts'
import { FTYP, moovWith, NO_SAMPLES } from './hostile-film.ts'
import { type Answer, ask, type Shelf, shelfWith } from './play.ts'

/** A table of `count` entries. */
function entries(count: number, entry: (i: number) => readonly number[]): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => u32(...entry(i))))
}

/** Asks, and counts how often the work could have been stopped: at each stop one looks at the clock. */
async function stopsOf(shelf: Shelf, path: string): Promise<{ stops: number; answer: Answer }> {
  let stops = 0
  const monotonic = shelf.clock.monotonic.bind(shelf.clock)
  shelf.clock.monotonic = () => {
    stops += 1
    return monotonic()
  }
  const answer = await ask(shelf, path)
  shelf.clock.monotonic = monotonic
  return { stops, answer }
}

const MVEX = box('mvex', fullBox('trex', 0, 0, u32(1, 1, 1, 0, 0)))
const TFHD = fullBox('tfhd', 0, 0x20000, u32(1))
async function fragmented(...fragments: readonly Uint8Array[]): Promise<Buffer> {
  return Buffer.concat([FTYP, await moovWith(NO_SAMPLES, MVEX), ...fragments])
}

async function tables(
  media: Uint8Array,
  perChunk: number,
  stbl: readonly Buffer[],
): Promise<Buffer> {
  const stsc = fullBox('stsc', 0, 0, u32(1, 1, perChunk, 1))
  return Buffer.concat([FTYP, box('mdat', media), await moovWith([...stbl, stsc])])
}

/** A film of one segment, whose samples are one byte each; `gap` bytes lie between its chunks, and `order` says where each is. */
function oneSegment(
  count: number,
  perChunk: number,
  gap = 0,
  order = (chunk: number) => chunk,
): Promise<Buffer> {
  const chunks = count / perChunk
  const place = (i: number) => [FTYP.length + 8 + order(i) * (perChunk + gap)]
  return tables(Buffer.alloc(chunks * (perChunk + gap)), perChunk, [
    fullBox('stts', 0, 0, u32(1, count, 1)),
    fullBox('stss', 0, 0, u32(1, 1)),
    fullBox(
      'stsz',
      0,
      0,
      u32(0, count),
      entries(count, () => [1]),
    ),
    fullBox('stco', 0, 0, u32(chunks), entries(chunks, place)),
  ])
}

const RUNS = 30_000
const SAMPLES = 240_000

describe('a film is opened with a stop every few thousand entries', () => {
  const films: Record<string, readonly [make: () => Promise<Buffer>, stops: number]> = {
    'of runs without samples': [
      () => {
        const run = fullBox('trun', 0, 0, u32(0))
        const traf = box('traf', TFHD, ...Array<Buffer>(RUNS).fill(run))
        return fragmented(box('moof', traf), box('mdat'))
      },
      RUNS,
    ],
    'of boxes behind its index': [() => fragmented(...Array<Buffer>(RUNS).fill(box('free'))), RUNS],
    'of samples that its tables name before its fragments do': [
      async () => {
        const film = await oneSegment(SAMPLES, 4)
        const at = film.lastIndexOf('moov') - 4
        const moov = box('moov', film.subarray(at + 8), MVEX)
        const run = fullBox('trun', 0, 0x200, u32(1, 1))
        const moof = box('moof', box('traf', TFHD, run))
        return Buffer.concat([film.subarray(0, at), moov, moof, box('mdat', Buffer.alloc(1))])
      },
      200,
    ],
    'of samples in one chunk': [() => oneSegment(SAMPLES, SAMPLES), 100],
  }
  for (const [name, [make, least]] of Object.entries(films)) {
    it(name, async () => {
      const shelf = await shelfWith({ film: await make() })
      const { stops } = await stopsOf(shelf, '/vod/film/index.m3u8')
      expect(stops).toBeGreaterThan(least)
    })
  }

  it('and megabytes that are read ahead are put into their place in pieces', async () => {
    const film = await oneSegment(1000, 10)
    const at = film.lastIndexOf('moov') - 4
    const free = box('free', Buffer.alloc(5_000_000))
    const boxes = [film.subarray(0, at), free, film.subarray(at), free, free]
    const shelf = await shelfWith({ film: Buffer.concat(boxes) })
    const { stops, answer } = await stopsOf(shelf, '/vod/film/index.m3u8')
    expect(answer.status).toBe(200)
    expect(stops).toBeGreaterThan(100)
  })

  it('and no box of its index is looked through that has thousands of others', async () => {
    const boxes = Array<Buffer>(5000).fill(box('free'))
    const film = Buffer.concat([FTYP, await moovWith([...NO_SAMPLES, ...boxes])])
    const { status, text } = await ask(await shelfWith({ film }), '/vod/film/index.m3u8')
    expect([status, text]).toEqual([422, expect.stringContaining('more than 4096 boxes')])
  })
})

describe('what is made of a film is made with stops', () => {
  it('the playlist of a day', async () => {
    const count = 20_000
    const film = await tables(Buffer.alloc(100), 1, [
      fullBox('stts', 0, 0, u32(1, count, 4000)),
      fullBox('stsz', 0, 0, u32(1, count)),
      fullBox(
        'stco',
        0,
        0,
        u32(count),
        entries(count, () => [FTYP.length + 8]),
      ),
    ])
    const shelf = await shelfWith({ film })
    const { text } = await ask(shelf, '/vod/film/index.m3u8')
    const uri = /[0-9a-f]{16}\/\w+\.m3u8/.exec(text)?.[0]
    const { stops, answer } = await stopsOf(shelf, `/vod/film/${uri}`)
    expect(answer.text.match(/#EXTINF/g)).toHaveLength(count)
    expect(stops).toBeGreaterThan(50)
  })

  it('a segment of 60,000 pieces of the file', async () => {
    const shelf = await shelfWith({ film: await oneSegment(60_000, 1, 1) })
    const { text } = await ask(shelf, '/vod/film/index.m3u8')
    const version = /[0-9a-f]{16}/.exec(text)?.[0]
    const { stops, answer } = await stopsOf(shelf, `/vod/film/${version}/main-0.m4s`)
    expect(answer.status).toBe(200)
    expect(stops).toBeGreaterThan(10)
  })

  it('but not of samples in no order', async () => {
    const shelf = await shelfWith({
      film: await oneSegment(60_000, 1, 1, (i) => (i * 7919) % 60_000),
    })
    const { text } = await ask(shelf, '/vod/film/index.m3u8')
    const version = /[0-9a-f]{16}/.exec(text)?.[0]
    const answer = await ask(shelf, `/vod/film/${version}/main-0.m4s`)
    expect([answer.status, answer.text]).toEqual([422, expect.stringContaining('goes back')])
  })
})
