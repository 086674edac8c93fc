import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { quoted } from '../../server/formats/m3u8/quoted.ts'
import { readPlaylist, type ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import { writeDateRange } from '../../server/formats/m3u8/write-media-playlist.ts'
import { DateRanges } from '../../server/live/date-ranges.ts'
import { readTail, writeTailEvent, writeTailHead } from '../../server/live/tail.ts'
import { describeData } from '../../server/live/timed-metadata.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'
import { changeViolations, deltaViolations, violationsOf } from '../support/hls-conformance.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { ask, LiveFixture, type Publisher } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 20, gop: 30 })
const FILE = 'video-t1.m3u8'

function say(publisher: Publisher, atMs: number, name = 'onTextData', text = `at ${atMs}`): void {
  publisher.stream.writeData({ name, values: [['text', text]], atMs })
}

const textsOf = ({ dateRanges }: ReadMedia) => dateRanges.map((range) => range['X-TEXT'])

/** A stream of eight seconds' playlists, in which something is said once a second. */
async function talking(until: number, options: { readonly windowSeconds?: number } = {}) {
  const live = await LiveFixture.open({ windowSeconds: 8, ...options })
  const publisher = live.publish()
  await publisher.send(MEDIA, 0, 5000)
  for (let at = 5000; at < until; at += 1000) {
    say(publisher, at + 500)
    await publisher.send(MEDIA, at, Math.min(until, at + 1000))
  }
  return { live, publisher }
}

describe('data of a moment', () => {
  test('is a date range of every media playlist, at the date of that moment', async () => {
    const { live, publisher } = await talking(5000)
    const values = [
      ['text', 'hello'],
      ['parameters.adId', 7],
      ['live', true],
      ['offset', -1.5],
    ] as const
    publisher.stream.writeData({ name: 'onCuePoint', values, atMs: 4800 })
    for (const id of ['video', 'audio']) {
      const playlist = await live.media(`${id}-t1.m3u8`)
      const [range, ...others] = playlist.dateRanges
      expect(others).toEqual([])
      expect(range).toMatchObject({
        CLASS: 'onCuePoint',
        DURATION: '0',
        'X-TEXT': 'hello',
        'X-PARAMETERS-AD-ID': '7',
        'X-LIVE': 'true',
        'X-OFFSET': '-1.5',
      })
      const segment = playlist.segments.find(({ sequence }) => sequence === 5)
      // The segment that begins at 4 s of the publisher's time.
      const expected = (segment?.startedAt ?? 0) + 800
      expect(Math.abs(Date.parse(range?.['START-DATE'] ?? '') - expected)).toBeLessThan(50)
      expect(violationsOf(playlist)).toEqual([])
    }
    expect((await live.get(`/live/main/${FILE}`)).text).toContain(',X-PARAMETERS-AD-ID=7,')
    expect((await live.get(`/live/main/${FILE}`)).text).toContain(',X-OFFSET="-1.5"')
  })

  test('that comes before the first picture is dated when that is there', async () => {
    const live = await LiveFixture.open()
    const publisher = live.publish()
    publisher.stream.setTracks(MEDIA.tracks)
    for (let i = 0; i < 40; i += 1) say(publisher, 0, 'early')
    await publisher.send(MEDIA, 0, 3000)
    const { dateRanges, segments } = await live.media('video-t12.m3u8')
    expect(dateRanges).toHaveLength(30)
    const began = segments.find(({ gap }) => !gap)?.startedAt ?? 0
    expect(Math.abs(Date.parse(dateRanges[0]?.['START-DATE'] ?? '') - began)).toBeLessThan(100)
  })

  test('that is stamped with no time of the stream happens now', async () => {
    const { live, publisher } = await talking(12_000)
    say(publisher, 0, 'lost', 'zero')
    say(publisher, 3_600_000, 'lost', 'an hour')
    const { dateRanges } = await live.media(FILE)
    const late = dateRanges.filter((range) => range['CLASS'] === 'lost')
    for (const range of late)
      expect(Math.abs(Date.parse(range['START-DATE'] ?? '') - live.clock.now())).toBeLessThan(100)
    expect(late).toHaveLength(2)
  })

  test('is listed as long as its segment, and has its own ID in every publish', async () => {
    const { live, publisher } = await talking(14_000)
    const before = await live.media(FILE)
    const saidFrom = (first: number, count: number) =>
      Array.from({ length: count }, (_, i) => `at ${first + 1000 * i}`)
    expect(textsOf(before)).toEqual(saidFrom(5500, 9))
    expect(violationsOf(before)).toEqual([])
    await publisher.send(MEDIA, 14_000, 18_000)
    const after = await live.media(FILE)
    expect(textsOf(after)).toEqual(saidFrom(9500, 5))
    expect(changeViolations(before, after)).toEqual([])
    publisher.end()
    const next = live.publish()
    await next.send(MEDIA, 0, 2000)
    say(next, 1900)
    const ids = (await live.media(FILE)).dateRanges.map((range) => range['ID'])
    expect(new Set(ids).size).toBe(ids.length)
    expect(new Set(ids.map((id) => id?.split('-')[0])).size).toBe(2)
  })

  test('goes through a tail, byte for byte, and between a segment and its first part shows nothing of that', async () => {
    const { live, publisher } = await talking(9000)
    const replicas = live.replicas()
    const get = async (file: string) => (await ask(replicas.origin, `/live/main/${file}`)).text
    expect(await get(FILE)).toBe((await live.get(`/live/main/${FILE}`)).text)
    await publisher.send(MEDIA, 9000, 9900)
    say(publisher, 9900)
    for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve))
    const copy = await get(FILE)
    expect(copy).toBe((await live.get(`/live/main/${FILE}`)).text)
    expect(copy).toContain('at 9900')
    replicas.close()
  })

  test('is there again after a restart', async () => {
    const stateDir = join(await mkdtemp(join(tmpdir(), 'nearcast-')), 'live')
    const clock = new FakeClock()
    const first = await LiveFixture.open({ stateDir }, clock)
    const publisher = first.publish()
    await publisher.send(MEDIA, 0, 5000)
    say(publisher, 4900)
    const { dateRanges } = await first.media(FILE)
    await first.packager.save()
    first.packager.close()
    const second = await LiveFixture.open({ stateDir }, clock)
    expect((await second.media(FILE)).dateRanges).toEqual(dateRanges)
    expect(dateRanges).toHaveLength(1)
  })

  test('is left out above five a second, and the stream goes on', async () => {
    const { live, publisher } = await talking(5000)
    for (let i = 0; i < 500; i += 1) say(publisher, 5000)
    expect((await live.media(FILE)).dateRanges).toHaveLength(30)
    await publisher.send(MEDIA, 5000, 6000)
    for (let i = 0; i < 500; i += 1) say(publisher, 6000)
    expect((await live.media(FILE)).dateRanges).toHaveLength(35)
  })
})

describe('delta updates', () => {
  const DELTA = `${FILE}?_HLS_skip=v2`

  test('offer to skip date ranges only while a client may have some', async () => {
    const { live, publisher } = await talking(5000, { windowSeconds: 12 })
    await publisher.send(MEDIA, 5000, 10_000)
    const before = await live.media(DELTA)
    expect([before.version, before.skippedSegments > 0]).toEqual([9, true])
    expect(before.serverControl['CAN-SKIP-DATERANGES']).toBeUndefined()
    say(publisher, 10_000)
    const after = await live.media(FILE)
    expect([after.version, after.serverControl['CAN-SKIP-DATERANGES']]).toEqual([6, 'YES'])
  })

  test('v2 leaves out what was listed for long, and YES leaves out none (§6.2.5.1)', async () => {
    const { live, publisher } = await talking(8000, { windowSeconds: 30 })
    const known = await live.media(FILE)
    expect(textsOf(known)).toEqual(['at 5500', 'at 6500', 'at 7500'])
    await publisher.send(MEDIA, 8000, 13_900)
    say(publisher, 13_900)
    await publisher.send(MEDIA, 13_900, 14_500)
    const [delta, segments, whole] = [
      await live.media(DELTA),
      await live.media(`${FILE}?_HLS_skip=YES`),
      await live.media(FILE),
    ]
    expect([delta.version, segments.version]).toEqual([10, 9])
    expect(textsOf(delta)).toEqual(['at 13900'])
    expect(textsOf(segments)).toEqual(['at 5500', 'at 6500', 'at 7500', 'at 13900'])
    for (const update of [delta, segments]) {
      const wrong = deltaViolations(known, update, whole)
      // It is too old a playlist for the segments.
      expect(wrong.filter((one) => one.includes('date range'))).toEqual([])
    }
  })

  test('v2 names what went within the skip boundary, and what went before that no longer', async () => {
    const { live, publisher } = await talking(7000)
    const ids = (await live.media(FILE)).dateRanges.map((range) => range['ID'])
    expect(ids).toHaveLength(2)
    await publisher.send(MEDIA, 7000, 15_500)
    const delta = await live.media(DELTA)
    expect([delta.version, delta.removedDateRanges]).toEqual([10, ids])
    expect(delta.serverControl['CAN-SKIP-DATERANGES']).toBe('YES')
    await live.clock.advance(6001)
    const later = await live.media(DELTA)
    expect([later.version, later.removedDateRanges]).toEqual([9, undefined])
    expect((await live.media(FILE)).dateRanges).toEqual([])
  })
})

describe('hostile data', () => {
  const oneLine = (name: string, path: string, value: string | number | boolean) => {
    const said = describeData({ name, values: [[path, value]] })
    return said && writeDateRange({ id: 'a-1', startedAt: 0, ...said })
  }

  test.each<readonly [string, string, string]>([
    ['a new line and a tag', 'x\n#EXT-X-ENDLIST', 'x #EXT-X-ENDLIST'],
    ['line ends that only some know', 'a\u2028b\u2029c\r\nd', 'a b c d'],
    ['quotation marks', 'a",URI="b', "a',URI='b"],
    ['a variable', '{$token} {{$$x}', '{token} {{x}'],
    ['control characters and halves of one', 'a\u0000\u0007\u0085\ud800b\ufeff', 'ab'],
    ['text that is not normal', 'e\u0301', 'é'],
  ])('of %s is harmless text', (_, given, expected) => {
    expect(oneLine('on', 'v', given)).toBe(
      `#EXT-X-DATERANGE:ID="a-1",CLASS="on",START-DATE="1970-01-01T00:00:00.000Z",DURATION=0,X-V="${expected}"\n`,
    )
  })

  test('that players would fetch something for is refused', () => {
    expect(oneLine('com.apple.hls.interstitial', 'asset-uri', 'http://a')).toBeUndefined()
    expect(oneLine('COM.apple\u0000.hls', 'asset-uri', 'http://a')).toBeUndefined()
    expect(oneLine(' com.apple.hls.preload', 'uri', 'http://a')).toBeUndefined()
    expect(oneLine('\n', 'v', 1)).toBeUndefined()
    expect(oneLine('x'.repeat(65), 'v', 1)).toBeUndefined()
  })

  test('of too many, too long or nameless values keeps the others', () => {
    const values = Array.from({ length: 100 }, (_, i) => [`k${i}`, 'v'] as const)
    expect(describeData({ name: 'on', values })?.attributes).toHaveLength(24)
    const kept = describeData({
      name: 'on',
      values: [
        ['ünïcode?', 1],
        ['???', 2],
        ['long', 'x'.repeat(1025)],
        ['a', 'first'],
        ['A', 'second'],
        ['x'.repeat(65), 3],
        ['small', 1e-9],
      ],
    })
    expect(kept?.attributes).toEqual([
      ['X-N-CODE', 1],
      ['X-A', 'first'],
      ['X-SMALL', 1e-9],
    ])
    expect(oneLine('on', 'small', 1e-9)).toContain('X-SMALL="1e-9"')
  })

  test('of any kind is one line that is read again, and passes a tail', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc
        .array(fc.constantFrom('"', '\n', '{$', '$', ',', '=', '\t', '\\', '\ud800', '#EXT'), {
          maxLength: 8,
        })
        .map((all) => all.join('')),
    )
    const value = fc.oneof(text, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean())
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.array(fc.tuple(text, value), { maxLength: 30 }),
        async (name, values) => {
          const said = describeData({ name, values })
          if (!said) return
          const range = { id: 'a-1', startedAt: 0, ...said }
          const line = writeDateRange(range)
          expect(line.match(/[\r\n\u2028\u2029]/g)).toHaveLength(1)
          expect(line).not.toContain('{$')
          const read = readPlaylist(`#EXTM3U\n${line}`)
          if (read.kind !== 'media') throw new Error('no media playlist')
          expect(read.dateRanges[0]?.['CLASS']).toBe(said.className)
          for (const [attribute, one] of said.attributes)
            expect(read.dateRanges[0]?.[attribute]).toBe(String(one))
          const event = { kind: 'date-range', ...range } as const
          const events: unknown[] = []
          for await (const one of readTail([writeTailHead(), ...writeTailEvent(event)]))
            events.push(one)
          expect(events).toEqual([event])
        },
      ),
      { numRuns: FUZZ_RUNS },
    )
  })

  test('of a parent or a file is refused', async () => {
    const good = { kind: 'date-range', id: 'a-1', className: 'on', startedAt: 0, attributes: [] }
    const wrong = [
      { ...good, id: 'A\n' },
      { ...good, className: 'a"b' },
      { ...good, attributes: [['X-A\n', 'v']] },
      { ...good, attributes: [['URI', 'v']] },
      { ...good, attributes: [['X-A', 'a\nb']] },
      { ...good, attributes: Array.from({ length: 25 }, (_, i) => [`X-${i}`, 1]) },
    ]
    for (const event of wrong) {
      const json = Buffer.from(JSON.stringify(event))
      const head = Buffer.alloc(8)
      head.writeUInt32BE(json.length)
      const read = async () => {
        for await (const _ of readTail([writeTailHead(), head, json]));
      }
      await expect(read()).rejects.toThrow(/^origin-failed/)
    }
  })

  test('never makes a playlist long: the oldest go above 512 ranges or 64 KiB', () => {
    const ranges = new DateRanges()
    const add = (i: number, value: string) =>
      ranges.add({ id: `a-${i}`, className: 'on', startedAt: i, attributes: [['X-V', value]] })
    for (let i = 0; i < 1000; i += 1) add(i, '')
    expect(ranges.list.map(({ id }) => id).slice(0, 1)).toEqual(['a-488'])
    for (let i = 1000; i < 1100; i += 1) add(i, 'x'.repeat(1024))
    const text = ranges.list.map(writeDateRange).join('')
    expect(text.length).toBeLessThan(66_000)
    expect(text.length).toBeGreaterThan(60_000)
    ranges.dropBefore(1_000_000)
    for (let i = 0; i < 512; i += 1) add(i, '')
    expect(ranges.list).toHaveLength(512)
    add(0, 'again')
    expect(ranges.list[0]?.attributes).toEqual([['X-V', '']])
  })

  test('in a quoted string of any playlist has no variables', () => {
    expect(quoted('{$a}{{$$"\n$')).toBe('"{a}{{"')
  })
})
