import { describe, expect, test } from 'vitest'
import type { Frame } from '../../server/codecs/frame.ts'
import type { AudioTrack } from '../../server/codecs/track.ts'
import { readMoofs } from '../support/read-moofs.ts'
import { LiveFixture } from './live-fixture.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

const OPUS = (id: number): AudioTrack => ({
  id,
  kind: 'audio',
  codec: 'opus',
  codecString: 'opus',
  timescale: 1000,
  config: hex('00020138 0000bb80 0000 00'),
  language: 'und',
  sampleRate: 48_000,
  channels: 2,
})
/** RFC 6716 §3.1: CELT of 20 ms, SILK of 60 ms, CELT of 2.5 ms. */
const PACKETS = [
  { data: hex('fc 01'), ms: 20 },
  { data: hex('18 02'), ms: 60 },
  { data: hex('e4 03'), ms: 2.5 },
]

/** Packets of these kinds one after the other, stamped in whole milliseconds as RTMP does. */
function packets(trackId: number, seconds: number, kinds: typeof PACKETS): Frame[] {
  const frames: Frame[] = []
  let ms = 0
  for (let i = 0; ms < seconds * 1000; i += 1) {
    const kind = kinds[Math.floor(i / 7) % kinds.length]
    if (!kind) break
    const dts = Math.round(ms)
    frames.push({ trackId, dts, pts: dts, key: true, data: kind.data })
    ms += kind.ms
  }
  return frames
}

/** Duration of each sample of a rendition, in samples at 48 kHz, and where each fragment begins. */
async function samplesOf(live: LiveFixture, id: string) {
  const master = (await live.get('/live/main/index.m3u8')).text
  const [, target] = /-t(\d+)\.m3u8/.exec(master) ?? []
  const playlist = await live.media(`${id}-t${target}.m3u8`)
  const moofs = []
  for (const { uri, gap } of playlist.segments) {
    if (gap || uri === undefined) continue
    moofs.push(...readMoofs((await live.get(`/live/main/${uri}`)).body))
  }
  return { playlist, moofs }
}

describe('Opus packets of changing lengths', () => {
  test.each([
    ['lead', [OPUS(2)], 'audio'],
    ['follow', [OPUS(2), OPUS(4)], 'audio2'],
  ])(
    '%s: each lasts what its first byte says, and the next one follows at once',
    async (_, tracks, id) => {
      const live = await LiveFixture.open()
      const publisher = live.publish()
      const changing = packets(tracks.length * 2, 8, PACKETS)
      const steady = tracks.length > 1 ? packets(2, 8, PACKETS.slice(0, 1)) : []
      const frames = [...steady, ...changing].sort((a, b) => a.dts - b.dts)
      await publisher.send({ tracks, frames })
      publisher.end()
      live.packager.end('main')
      const { playlist, moofs } = await samplesOf(live, id)
      const durations = moofs.flatMap((moof) => moof.durations)
      const sent = changing.map(({ data }) => ({ 0xfc: 960, 0x18: 2880, 0xe4: 120 })[data[0] ?? 0])
      expect(durations.length).toBeGreaterThan(sent.length - 8)
      expect(durations).toEqual(sent.slice(0, durations.length))
      let next = moofs[0]?.decodeTime
      for (const moof of moofs) {
        expect(moof.decodeTime).toBe(next)
        next = moof.decodeTime + moof.durations.reduce((sum, ticks) => sum + ticks, 0)
      }
      const listed = playlist.segments
        .filter(({ gap }) => !gap)
        .reduce((sum, { durationSeconds }) => sum + durationSeconds, 0)
      expect(listed * 48_000).toBeCloseTo(
        durations.reduce((sum, ticks) => sum + ticks, 0),
        0,
      )
    },
  )
})
