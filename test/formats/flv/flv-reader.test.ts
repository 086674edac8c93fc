import { describe, expect, test } from 'vitest'
import type { Frame } from '../../../server/codecs/frame.ts'
import type { Track } from '../../../server/codecs/track.ts'
import { FlvReader } from '../../../server/formats/flv/flv-reader.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

// x264 in ffmpeg 5.1 from testsrc2, 320x180 and 720x576.
const AVCC =
  '0164000dffe1001a6764000dacd941419f9f0110000003001000000303c0f142996001000668ebe3cb22c0fdf8f800'
const OTHER_AVCC =
  '014d401effe10018674d401eeca05a126c1040000003004000000c87c50a658001000568fba3cb20'
const VIDEO_HEADER = hex(`17 00 000000 ${AVCC}`)
const AUDIO_HEADER = hex('af 00 1190')
const KEY = hex('17 01 000043 00000002 6588')
const INTER = hex('27 01 000000 00000002 4188')
const SOUND = hex('af 01 21 10')

function open() {
  const tracks: (readonly Track[])[] = []
  const frames: Frame[] = []
  const events: string[] = []
  const reader = new FlvReader({
    onTracks: (now) => {
      tracks.push(now)
      events.push('tracks')
    },
    onFrame: (frame) => {
      frames.push(frame)
      events.push(frame.trackId === 1 ? 'video' : 'audio')
    },
  })
  return { reader, tracks, frames, events }
}

describe('tracks', () => {
  test('both headers make one announcement, before any frame', () => {
    const { reader, tracks, events } = open()
    reader.audio(0, AUDIO_HEADER)
    reader.video(0, VIDEO_HEADER)
    reader.video(0, KEY)
    expect(events).toEqual(['tracks', 'video'])
    expect(tracks[0]).toMatchObject([
      { id: 1, kind: 'video', codec: 'avc', codecString: 'avc1.64000d', width: 320, height: 180 },
      { id: 2, kind: 'audio', codec: 'aac', codecString: 'mp4a.40.2', sampleRate: 48_000 },
    ])
    expect(tracks[0]?.map((track) => track.timescale)).toEqual([1000, 1000])
    expect(Buffer.from(tracks[0]?.[0]?.config ?? []).toString('hex')).toBe(AVCC)
  })

  test('the first frames wait for the other header, and none is lost', () => {
    const { reader, events } = open()
    reader.video(0, VIDEO_HEADER)
    reader.video(0, KEY)
    reader.video(33, INTER)
    expect(events).toEqual([])
    reader.audio(40, AUDIO_HEADER)
    expect(events).toEqual(['tracks', 'video', 'video'])
  })

  test('half a second without the other header is enough', () => {
    const { reader, tracks, events } = open()
    reader.video(0, VIDEO_HEADER)
    for (const time of [0, 250, 500]) reader.video(time, time === 0 ? KEY : INTER)
    expect(events).toEqual(['tracks', 'video', 'video', 'video'])
    expect(tracks[0]).toHaveLength(1)
  })

  test('metadata that announces one track ends the waiting', () => {
    const { reader, events } = open()
    reader.expect({ video: true, audio: false })
    reader.video(0, VIDEO_HEADER)
    reader.video(0, KEY)
    expect(events).toEqual(['tracks', 'video'])
  })

  test('a repeated header changes nothing, another one is announced with the same ids', () => {
    const { reader, tracks } = open()
    reader.audio(0, AUDIO_HEADER)
    reader.video(0, VIDEO_HEADER)
    reader.video(10, VIDEO_HEADER)
    reader.audio(10, AUDIO_HEADER)
    expect(tracks).toHaveLength(1)
    reader.video(20, hex(`17 00 000000 ${OTHER_AVCC}`))
    expect(tracks[1]).toMatchObject([{ id: 1, width: 720, height: 576 }, { id: 2 }])
    expect(tracks[1]?.[1]).toBe(tracks[0]?.[1])
  })
})

test('frames that wait go out under the header they came with, when another one follows', () => {
  const { reader, tracks, events } = open()
  reader.video(0, VIDEO_HEADER)
  reader.video(0, KEY)
  reader.video(20, hex(`17 00 000000 ${OTHER_AVCC}`))
  reader.video(40, KEY)
  expect(events).toEqual(['tracks', 'video', 'tracks', 'video'])
  expect(tracks.map(([track]) => track)).toMatchObject([{ width: 320 }, { width: 720 }])
})

describe('frames', () => {
  function live() {
    const all = open()
    all.reader.audio(0, AUDIO_HEADER)
    all.reader.video(0, VIDEO_HEADER)
    return all
  }

  test('times, key flag and data are told', () => {
    const { reader, frames } = live()
    reader.video(100, KEY)
    reader.audio(103, SOUND)
    reader.video(133, INTER)
    expect(frames).toEqual([
      { trackId: 1, dts: 100, pts: 167, key: true, data: hex('00000002 6588') },
      { trackId: 2, dts: 103, pts: 103, key: true, data: hex('2110') },
      { trackId: 1, dts: 133, pts: 133, key: false, data: hex('00000002 4188') },
    ])
  })

  test('§E.4.3.1: composition time is signed', () => {
    const { reader, frames } = live()
    reader.video(100, hex('27 01 ffffdf 00000002 4188'))
    expect(frames[0]?.pts).toBe(67)
  })

  test('times go on past 32 bits, and a small step back stays small', () => {
    const { reader, frames } = live()
    for (const time of [0xffff_fff0, 0x10, 0x05]) reader.audio(time, SOUND)
    expect(frames.map((frame) => frame.dts)).toEqual([0xffff_fff0, 0x1_0000_0010, 0x1_0000_0005])
  })

  test('frames before their header and units with wrong lengths are dropped and counted', () => {
    const early = open()
    early.reader.video(0, KEY)
    expect(early.reader.droppedFrames).toBe(1)
    const { reader, frames } = live()
    reader.video(0, hex('17 01 000000 000000ff 6588'))
    expect(frames).toEqual([])
    expect(reader.droppedFrames).toBe(1)
  })

  test.each([
    ['an empty video tag', ''],
    ['a video tag cut short', '17 01 00'],
    ['a key frame without data', '17 01 000000'],
    ['an end of sequence', '17 02 000000'],
    ['a seek command', '57 00'],
  ])('%s is ignored', (_, tag) => {
    const { reader, frames } = live()
    reader.video(0, hex(tag))
    expect(frames).toEqual([])
    expect(reader.droppedFrames).toBe(0)
  })

  test.each(['', 'af', 'af01'])('the audio tag "%s" is ignored', (tag) => {
    const { reader, frames } = live()
    reader.audio(0, hex(tag))
    expect(frames).toEqual([])
  })
})

describe('codecs', () => {
  test.each([
    ['VP6', '14 00'],
    ['hvc1', '90 68766331'],
    ['av01', '90 61763031'],
    ['an unknown codec', '90 00000001'],
    ['several tracks', '96 00617663'],
  ])('video in %s is media-unsupported, in words', (what, tag) => {
    expect(() => open().reader.video(0, hex(tag))).toThrow(
      `media-unsupported: video is ${what}; this server takes H.264`,
    )
  })

  test.each([
    ['MP3', '2f 00'],
    ['Speex', 'b6 00'],
    ['Opus', '90 4f707573'],
  ])('audio in %s is media-unsupported, in words', (what, tag) => {
    expect(() => open().reader.audio(0, hex(tag))).toThrow(
      `media-unsupported: audio is ${what}; this server takes AAC`,
    )
  })

  test('a header that no decoder could read is media-broken', () => {
    expect(() => open().reader.video(0, hex('17 00 000000 01'))).toThrow(/^media-broken/)
    expect(() => open().reader.audio(0, hex('af 00 11'))).toThrow(/^media-broken/)
  })

  test('Enhanced RTMP: H.264 and AAC told by FourCC, ModEx gone over', () => {
    const { reader, frames, tracks } = open()
    reader.video(0, hex(`90 61766331 ${AVCC}`))
    reader.audio(0, hex('90 6d703461 1190'))
    reader.video(5, hex('91 61766331 ffffff 00000002 6588'))
    reader.video(6, hex('a3 61766331 00000002 4188'))
    reader.video(7, hex('a7 02 000001 03 61766331 00000002 4188'))
    reader.audio(8, hex('91 6d703461 2110'))
    expect(tracks[0]).toHaveLength(2)
    expect(frames.map((frame) => [frame.trackId, frame.dts, frame.pts, frame.key])).toEqual([
      [1, 5, 4, true],
      [1, 6, 6, false],
      [1, 7, 7, false],
      [2, 8, 8, true],
    ])
  })
})
