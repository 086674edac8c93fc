import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { Frame } from '../../server/codecs/frame.ts'
import type { ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import { changeViolations, violationsOf } from '../support/hls-conformance.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { answered, LiveFixture, readMedia } from './live-fixture.ts'

const run = promisify(execFile)
const SECONDS = 12
const MEDIA = await makeLiveMedia({ seconds: SECONDS, gop: 30 })
const VIDEO = 1
const SOUND = 2

/** What a publisher stamps instead of the time at which it sends; `n` counts frames of the track. */
type Stamp = (ms: number, trackId: number, n: number) => number

interface Attack {
  readonly name: string
  readonly stamp: Stamp
  /** At most so many. */
  readonly discontinuities: number
  /** Pictures that stand in the playlist at least, in seconds. */
  readonly pictures?: number
  readonly sounds?: number
  /** What the dates may be off from the clock at the end. */
  readonly behindMs?: number
  /** A picture can't be cut in two, nor made of none: where stamps tell of longer or shorter ones, parts are too. */
  readonly uneven?: boolean
}

const later = (from: number, byMs: number, only?: number): Stamp => {
  return (ms, trackId) => (ms >= from && (only === undefined || only === trackId) ? ms + byMs : ms)
}

const ATTACKS: readonly Attack[] = [
  { name: 'are right', stamp: (ms) => ms, discontinuities: 0, pictures: 11, sounds: 11 },
  { name: 'begin at an hour', stamp: (ms) => ms + 3_600_000, discontinuities: 0, sounds: 11 },
  { name: 'begin past 32 bits', stamp: (ms) => ms + 2 ** 33, discontinuities: 0, sounds: 11 },
  { name: 'begin below zero', stamp: (ms) => ms - 10_000, discontinuities: 0, sounds: 11 },
  { name: 'jump an hour ahead', stamp: later(5000, 3_600_000), discontinuities: 1 },
  { name: 'jump ten seconds ahead', stamp: later(5000, 10_000), discontinuities: 1 },
  { name: 'jump a second ahead', stamp: later(5000, 1000), discontinuities: 1, uneven: true },
  { name: 'go back four seconds', stamp: later(5000, -4000), discontinuities: 1 },
  { name: 'go back to zero', stamp: later(7000, -7000), discontinuities: 1 },
  { name: 'go back 300 ms', stamp: later(5000, -300), discontinuities: 1, uneven: true },
  {
    name: 'jump back and forth by ten seconds each second',
    stamp: (ms) => ms + (Math.floor(ms / 1000) % 2) * 10_000,
    discontinuities: SECONDS,
    pictures: 8,
    sounds: 7,
  },
  {
    name: 'jump back and forth with each picture',
    stamp: (ms, trackId, n) => (trackId === VIDEO ? ms + (n % 2) * 10_000 : ms),
    discontinuities: 0,
    pictures: 11,
  },
  {
    name: 'stand still for two seconds',
    stamp: (ms) => (ms >= 5000 && ms < 7000 ? 5000 : ms),
    discontinuities: 1,
    uneven: true,
  },
  {
    name: 'stand still from five seconds on',
    stamp: (ms) => Math.min(ms, 5000),
    discontinuities: SECONDS,
    pictures: 10,
    sounds: 10,
    uneven: true,
  },
  { name: 'are all zero', stamp: () => 0, discontinuities: SECONDS, pictures: 10, uneven: true },
  {
    name: 'come in pairs of the same time',
    stamp: (ms, trackId, n) => (trackId === VIDEO ? ms - (n % 2) * 33 : ms),
    discontinuities: 0,
    pictures: 11,
    uneven: true,
  },
  {
    name: 'are off by up to 40 ms',
    stamp: (ms, trackId, n) => (trackId === VIDEO ? ms + ((n * 29) % 80) - 40 : ms),
    discontinuities: 0,
    pictures: 11,
    uneven: true,
  },
  {
    name: 'of sound run a twentieth too fast',
    stamp: (ms, trackId) => (trackId === SOUND ? ms * 1.05 : ms),
    discontinuities: 0,
    pictures: 11,
    sounds: 10,
  },
  {
    name: 'of sound run a twentieth too slowly',
    stamp: (ms, trackId) => (trackId === SOUND ? ms * 0.95 : ms),
    discontinuities: 0,
    pictures: 11,
    sounds: 9,
  },
  {
    name: 'of sound are of another day',
    stamp: later(-1, 86_400_000, SOUND),
    discontinuities: 0,
    pictures: 11,
    sounds: 9,
  },
  {
    name: 'of sound jump alone',
    stamp: later(5000, 30_000, SOUND),
    discontinuities: 0,
    pictures: 11,
    sounds: 9,
  },
  {
    name: 'of sound stand still',
    stamp: (ms, trackId) => (trackId === SOUND ? 0 : ms),
    discontinuities: 0,
    pictures: 11,
    sounds: 0,
  },
  {
    name: 'of the picture jump alone',
    stamp: later(5000, 30_000, VIDEO),
    discontinuities: 1,
    sounds: 8,
  },
  {
    name: 'of the picture run at half speed',
    stamp: (ms, trackId) => (trackId === VIDEO ? ms / 2 : ms),
    discontinuities: SECONDS,
    pictures: 4,
    sounds: 0,
    behindMs: 6000,
    uneven: true,
  },
]

/** Sends the media in its time, stamped as the attack wants; looks at the playlists each two seconds. */
async function suffer({ stamp }: Attack, live: LiveFixture): Promise<readonly string[]> {
  const publisher = live.publish()
  publisher.stream.setTracks(MEDIA.tracks)
  const startedAt = live.clock.now()
  const counts = new Map<number, number>()
  const wrong: string[] = []
  const before = new Map<string, ReadMedia>()
  let lookedAt = startedAt + 2000
  for (const frame of MEDIA.frames) {
    const due = startedAt + frame.dts
    if (due > live.clock.now()) await live.clock.advance(due - live.clock.now())
    const n = counts.get(frame.trackId) ?? 0
    counts.set(frame.trackId, n + 1)
    const dts = Math.round(stamp(frame.dts, frame.trackId, n))
    publisher.write({ ...frame, dts, pts: dts + frame.pts - frame.dts } satisfies Frame)
    if (due < lookedAt) continue
    lookedAt += 2000
    for (const file of ['video-t12.m3u8', 'audio-t12.m3u8']) {
      // Sound that never comes has no playlist.
      const answer = await answered(live.get(`/live/main/${file}`))
      if (!answer) continue
      const now = readMedia(answer)
      const former = before.get(file)
      if (former) wrong.push(...changeViolations(former, now))
      wrong.push(...violationsOf(now))
      before.set(file, now)
    }
  }
  publisher.end()
  return wrong
}

const isEven = (sentence: string) => !/too (short|long)/.test(sentence)

const secondsOf = ({ segments }: ReadMedia) =>
  segments.reduce((sum, { gap, durationSeconds }) => sum + (gap ? 0 : durationSeconds), 0)

/** What ffmpeg says of init section and segments as one file. */
async function complaintsOf(live: LiveFixture, { segments }: ReadMedia): Promise<string> {
  const there = segments.filter((segment) => !segment.gap)
  const uris = [there[0]?.map, ...there.flatMap(({ uri }) => uri ?? [])]
  const pieces = await Promise.all(
    uris.map(async (uri) => (await live.get(`/live/main/${uri}`)).body),
  )
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-'))
  const path = join(folder, 'live.mp4')
  await writeFile(path, Buffer.concat(pieces))
  const exact = ['-fps_mode', 'passthrough', '-enc_time_base', '1:90000', '-f', 'null', '-']
  const { stderr } = await run('ffmpeg', ['-v', 'error', '-i', path, ...exact])
  await rm(folder, { recursive: true })
  return stderr
}

describe('timestamps that', () => {
  test.each(ATTACKS)(
    '$name leave playlists that are right and media that decodes',
    async (attack) => {
      const live = await LiveFixture.open()
      const wrong = await suffer(attack, live)
      expect(attack.uneven ? wrong.filter(isEven) : wrong).toEqual([])
      const video = await live.media('video-t12.m3u8')
      const heard = await answered(live.get('/live/main/audio-t12.m3u8'))
      const audio = heard && readMedia(heard)
      const cuts = video.segments.filter((segment) => segment.discontinuity).length
      expect(cuts).toBeLessThanOrEqual(attack.discontinuities)
      expect(secondsOf(video)).toBeGreaterThan(attack.pictures ?? SECONDS - 2)
      if ((attack.sounds ?? SECONDS) > 0)
        expect(audio && secondsOf(audio)).toBeGreaterThan(attack.sounds ?? SECONDS - 4)
      // The dates are those of the clock: nobody is shown the past or the future.
      const last = video.segments.at(-1)
      const ends = (last?.startedAt ?? 0) + (last?.durationSeconds ?? 0) * 1000
      expect(Math.abs(ends - live.clock.now())).toBeLessThan(attack.behindMs ?? 3000)
      for (const playlist of [video, audio])
        if (playlist) expect(await complaintsOf(live, playlist)).toBe('')
    },
    20_000,
  )
})
