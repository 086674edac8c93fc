import { readFile, rm } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { NearcastError } from '../../server/lib/errors.ts'
import { readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'
import { makeFilm, packetsOf } from '../support/media.ts'
import { asFile, ask, playFilm, shelfWith } from './play.ts'

const KINDS = {
  'a film with its index last': { seconds: 2, bframes: 2, gop: 12 },
  'a film in fragments': { seconds: 2, layout: 'fragmented', gop: 12 },
} as const

/** Asks for everything a player would; every answer must be a status this server means. */
async function askForAll(film: Uint8Array): Promise<number> {
  const shelf = await shelfWith({ film })
  const master = await ask(shelf, '/vod/film/index.m3u8')
  if (master.status !== 200) return master.status
  for (const [uri] of master.text.matchAll(/[0-9a-f]{16}\/[a-z0-9]+\.m3u8/g)) {
    const { text } = await ask(shelf, `/vod/film/${uri}`)
    const playlist = readPlaylist(text)
    if (playlist.kind !== 'media') throw new Error(text)
    for (const segment of playlist.segments.slice(0, 20)) {
      const init = await ask(shelf, `/vod/film/${uri.split('/')[0]}/${segment.map}`)
      expect(init.status).toBe(200)
      const answer = await ask(shelf, `/vod/film/${uri.split('/')[0]}/${segment.uri}`)
      expect([200, 422]).toContain(answer.status)
      // A hostile table may name the same bytes many times, and never many more than it has entries for.
      expect(answer.bytes.length).toBeLessThan(film.length * 80)
    }
  }
  return 200
}

const MEANT = [200, 403, 415, 422]

describe('damaged files end in an answer', () => {
  for (const [name, options] of Object.entries(KINDS)) {
    it(`${name}, with bytes changed`, async () => {
      const film = await readFile(await makeFilm(options))
      const tables = tableBytes(film)
      const change = fc.record({
        at: fc.nat(tables.length - 1),
        bytes: fc.oneof(
          fc.uint8Array({ minLength: 1, maxLength: 8 }),
          fc.constant(Uint8Array.of(0xff, 0xff, 0xff, 0xff)),
          fc.constant(Uint8Array.of(0, 0, 0, 0)),
          fc.constant(Uint8Array.of(0x7f, 0xff, 0xff, 0xff)),
        ),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
          const damaged = Buffer.from(film)
          for (const { at, bytes } of changes) {
            damaged.set(bytes.subarray(0, damaged.length - (tables[at] ?? 0)), tables[at])
          }
          expect(MEANT).toContain(await askForAll(damaged))
        }),
        { numRuns: FUZZ_RUNS },
      )
    })

    it(`${name}, cut short anywhere`, async () => {
      const film = await readFile(await makeFilm(options))
      await fc.assert(
        fc.asyncProperty(fc.nat(film.length), async (length) => {
          expect(MEANT).toContain(await askForAll(film.subarray(0, length)))
        }),
        { numRuns: Math.ceil(FUZZ_RUNS / 10) },
      )
    })
  }

  it('a film whose index is first plays up to where it ends', async () => {
    const film = await readFile(await makeFilm({ seconds: 6, layout: 'moov-first' }))
    const shelf = await shelfWith({ film: film.subarray(0, Math.floor(film.length * 0.6)) })
    const played = await playFilm(shelf, 'film')
    expect(played.master).toContain('# the file is cut short')
    const path = await asFile(played, 'cut')
    const packets = await packetsOf(path, 'v')
    await rm(path)
    expect(packets.length).toBeGreaterThan(30)
    expect(packets.length).toBeLessThan(150)
    const { truncated } = await shelf.origin.probe('film', new AbortController().signal)
    expect(truncated).toBe(true)
  })

  it('a film in fragments says so when one of its indexes is cut or damaged', async () => {
    const film = await readFile(await makeFilm(KINDS['a film in fragments']))
    const moof = film.indexOf('moof', film.indexOf('moof') + 1) - 4
    const damaged = Buffer.from(film)
    damaged.write('none', film.indexOf('tfhd', moof), 'latin1')
    for (const bytes of [film.subarray(0, moof + 20), damaged]) {
      const { text } = await ask(await shelfWith({ film: bytes }), '/vod/film/index.m3u8')
      expect(text).toContain('# the file is cut short')
    }
    const { text } = await ask(await shelfWith({ film }), '/vod/film/index.m3u8')
    expect(text).not.toContain('# the file')
  })

  it('any path gets an answer or a refusal', async () => {
    const shelf = await shelfWith({ film: await makeFilm({ seconds: 1 }) })
    await fc.assert(
      fc.asyncProperty(fc.string({ maxLength: 60 }), async (path) => {
        const wanted = `/vod/${path}${path.length % 2 === 0 ? '/index.m3u8' : ''}`
        const status = await ask(shelf, wanted).then(
          (answer) => answer.status,
          (error: unknown) => (error instanceof NearcastError ? error.status : undefined),
        )
        expect([400, 404]).toContain(status)
      }),
      { numRuns: FUZZ_RUNS },
    )
  })

  it('and says so by a code', async () => {
    const shelf = await shelfWith({ film: Buffer.from('\0\0\0\x08ftyp\0\0\0\x08free') })
    await expect(shelf.origin.probe('film', new AbortController().signal)).rejects.toThrow(
      NearcastError,
    )
  })
})

/** Positions in moov and moof boxes: changes elsewhere only change the picture. */
function tableBytes(film: Buffer): readonly number[] {
  const positions: number[] = []
  for (let at = 0; at + 8 <= film.length; at += Math.max(8, film.readUInt32BE(at))) {
    const size = film.readUInt32BE(at)
    const head = film.toString('latin1', at + 4, at + 8) === 'mdat' ? 8 : size
    for (let i = at; i < Math.min(at + head, film.length); i += 1) positions.push(i)
  }
  return positions
}
