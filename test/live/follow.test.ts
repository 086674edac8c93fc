import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { Origin } from '../../server/http/message.ts'
import { type Followed, followStream, type Got } from '../support/hls-follow.ts'
import { makeLiveMedia, type LiveMedia } from '../support/live-media.ts'
import { ask, LiveFixture } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 20, gop: 30 })
/** By then it is known how far apart key frames are, and new viewers are sent to the shortest list. */
const BEGUN_MS = 5000

type Change = (path: string, got: Got) => Got

/** Follows a stream that runs on a fake clock; `change` makes the answers wrong. */
async function follow(
  live: LiveFixture,
  origin: Origin,
  options: {
    readonly media?: LiveMedia
    readonly parts?: number
    readonly change?: Change
    readonly talks?: boolean
  } = {},
): Promise<Followed> {
  const { media = MEDIA, parts = 40, change = (_, got) => got } = options
  const publisher = live.publish()
  let at = BEGUN_MS
  await publisher.send(media, 0, at)
  let over = false
  const following = followStream({
    url: 'http://live/live/main/index.m3u8',
    parts,
    tier: 'function',
    clock: live.clock,
    get: async (url) => {
      const { pathname, search } = new URL(url)
      return change(pathname + search, await getOf(origin, pathname + search))
    },
  }).finally(() => {
    over = true
  })
  while (!over && at < 20_000) {
    await publisher.send(media, at, at + 33)
    at += 33
    // Every 0.7 s, in the midst of parts and beside segments.
    if (options.talks && at % 693 < 33)
      publisher.stream.writeData({ name: 'onTextData', values: [['at', at]], atMs: at })
    // What the follower asks in answer to this part comes before the next one.
    for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  return following
}

async function getOf(origin: Origin, path: string): Promise<Got> {
  const { status, headers, body } = await ask(origin, path, { 'accept-encoding': 'gzip' })
  const plain = headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body
  const fields = { ...headers, 'content-length': String(plain.length) }
  return { status, header: (name) => new Map(Object.entries(fields)).get(name), body: plain }
}

function isPlaylist(path: string): boolean {
  return path.includes('-t1.m3u8')
}

/** The same answer with another body. */
function edited(got: Got, edit: (text: string) => string): Got {
  return { ...got, body: Buffer.from(edit(got.body.toString())) }
}

describe('a strict client', () => {
  test('finds nothing wrong with a running stream (rfc8216bis-22)', async () => {
    const live = await LiveFixture.open({ windowSeconds: 8 })
    const seen = await follow(live, live.packager.origin, { parts: 60 })
    expect(seen.violations).toEqual([])
    expect(seen.renditions).toEqual(['video-t1.m3u8', 'audio-t1.m3u8'])
    expect(seen.parts).toBeGreaterThanOrEqual(120)
    expect(seen.segments).toBeGreaterThan(20)
    expect(seen.deltas).toBeGreaterThan(60)
    expect(seen.hints).toBeGreaterThan(80)
    expect(seen.reports).toBeGreaterThan(20)
  })

  test.each(['origin', 'replica'])(
    'finds nothing wrong with date ranges of an %s',
    async (where) => {
      const live = await LiveFixture.open({ windowSeconds: 8 })
      const replicas = live.replicas()
      const origin = where === 'origin' ? live.packager.origin : replicas.origin
      const seen = await follow(live, origin, { parts: 60, talks: true })
      replicas.close()
      expect(seen.violations).toEqual([])
      expect(seen.rangeDeltas).toBeGreaterThan(60)
    },
  )

  test.each<readonly [string, (text: string) => string]>([
    ['that is listed twice', (text) => text.replace(/(#EXT-X-DATERANGE.*\n)/, '$1$1')],
    [
      'that is missing in an update',
      (text) =>
        text.includes('#EXT-X-SKIP') ? text.replaceAll(/#EXT-X-DATERANGE.*\n/g, '') : text,
    ],
    ['that changes', (text) => text.replace(/X-AT=\d+/, () => `X-AT=${Math.random()}`)],
    ['before the playlist', (text) => text.replace(/START-DATE="20../, 'START-DATE="1960')],
    [
      'that is not named when it goes',
      (text) => text.replace(/DATERANGES="[^"]+"/, 'DATERANGES=""'),
    ],
  ])('notices a date range %s', async (_, edit) => {
    const live = await LiveFixture.open({ windowSeconds: 8 })
    const change: Change = (path, got) => (isPlaylist(path) ? edited(got, edit) : got)
    const seen = await follow(live, live.packager.origin, { parts: 60, talks: true, change })
    expect(seen.violations.join()).toMatch(/date range/)
  })

  test('finds nothing wrong with its replica', async () => {
    const live = await LiveFixture.open({ windowSeconds: 8 })
    const replicas = live.replicas()
    const seen = await follow(live, replicas.origin, { parts: 60 })
    replicas.close()
    expect(seen.violations).toEqual([])
    expect(seen.deltas).toBeGreaterThan(60)
    expect(seen.hints).toBeGreaterThan(80)
  })

  test('finds nothing wrong when key frames are 8.33 s apart, with B-frames, at 44.1 kHz', async () => {
    const media = await makeLiveMedia({ seconds: 20, gop: 250, bframes: 2, sampleRate: 44_100 })
    const live = await LiveFixture.open()
    const seen = await follow(live, live.packager.origin, { media })
    expect(seen.violations).toEqual([])
    expect(seen.hints).toBeGreaterThan(50)
  })

  const wrongs: Readonly<
    Record<string, { readonly change: Change; readonly said: RegExp; readonly parts?: number }>
  > = {
    'a segment that is not its parts': {
      change: (path, got) =>
        /video-\d+\.m4s/.test(path) ? { ...got, body: got.body.subarray(1) } : got,
      said: /§3\.2 segment \d+ is not its parts/,
    },
    'a hint that is another part': {
      change: (path, got) =>
        isPlaylist(path)
          ? edited(got, (text) => text.replace(/(HINT:TYPE=PART,URI="[^.]*)\./, '$19.'))
          : got,
      said: /§4\.4\.5\.3 .* was hinted/,
    },
    'a delta that leaves out a segment': {
      change: (path, got) =>
        path.includes('_HLS_skip')
          ? edited(got, (text) => text.replace(/#EXT-X-PROGRAM[^#]*#EXTINF:.*\n.*m4s\n/, ''))
          : got,
      said: /§6\.2\.5\.1|§6\.3\.7/,
    },
    'a delta without what is in force': {
      change: (path, got) =>
        path.includes('_HLS_skip')
          ? edited(got, (text) => text.replace(/DISCONTINUITY-SEQUENCE.*|#EXT-X-MAP.*\n/, ''))
          : got,
      said: /§3\.1\.2|§6\.3\.7/,
    },
    'a blocking reload that does not block': {
      change: (path, got) =>
        path.includes('_HLS_msn')
          ? edited(got, (text) => text.replace(/(#EXT-X-PART:.*\n)(?=#EXT-X-PRELOAD)/, ''))
          : got,
      said: /§6\.2\.5\.2 .* without that part/,
    },
    'a report of what is not there': {
      change: (path, got) =>
        isPlaylist(path)
          ? edited(got, (text) => text.replace(/LAST-MSN=\d+/, 'LAST-MSN=1,LAST-PART=0,X=1'))
          : got,
      said: /§4\.4\.5\.4 .* is reported at segment 1/,
    },
    'no report': {
      change: (path, got) =>
        isPlaylist(path) ? edited(got, (text) => text.replace(/#EXT-X-RENDITION.*\n/, '')) : got,
      said: /B\.1 no RENDITION-REPORT/,
    },
    'a date that jumps': {
      change: (path, got) =>
        isPlaylist(path) ? edited(got, (text) => text.replace(/(TIME:.*):0(\d\.)/, '$1:3$2')) : got,
      said: /§4\.4\.4\.6/,
    },
    'a part that is too long': {
      change: (path, got) =>
        isPlaylist(path)
          ? edited(got, (text) => text.replace(/DURATION=0\.2,/, 'DURATION=0.3,'))
          : got,
      said: /§4\.4\.4\.9 part .* is too long/,
    },
    'lifetimes of its own': {
      change: (_, got) => ({
        ...got,
        header: (name) => (name === 'cache-control' ? 'max-age=3600' : got.header(name)),
      }),
      said: /B\.1 a playlist with max-age 3600/,
    },
    'an Age at the origin': {
      change: (_, got) => ({ ...got, header: (name) => (name === 'age' ? '3' : got.header(name)) }),
      said: /C: Age 3/,
    },
    'parts that are gone with their line': {
      change: (path, got) =>
        /-[67]\.\d+\.m4s/.test(path) && got.status === 200 ? goneLater(path, got) : got,
      said: /§6\.2\.2 part/,
      parts: 45,
    },
    'a wrong directive that is answered': {
      change: (path, got) => (path.endsWith('?_HLS_part=1') ? { ...got, status: 200 } : got),
      said: /§6\.2\.5\.2 _HLS_part alone/,
    },
  }
  const fetched = new Set<string>()
  const goneLater = (path: string, got: Got): Got => {
    if (fetched.has(path)) return { ...got, status: 404 }
    fetched.add(path)
    return got
  }

  for (const [what, { change, said, parts = 12 }] of Object.entries(wrongs))
    test(`finds ${what}`, async () => {
      const live = await LiveFixture.open({ windowSeconds: 8 })
      const seen = await follow(live, live.packager.origin, { change, parts })
      expect(seen.violations.join('\n')).toMatch(said)
    })
})
