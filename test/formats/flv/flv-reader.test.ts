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
  const troubles: string[] = []
  const reader = new FlvReader({
    onTracks: (now) => {
      tracks.push(now)
      events.push('tracks')
    },
    onTrouble: (reason) => troubles.push(reason),
    onFrame: (frame) => {
      frames.push(frame)
      events.push(frame.trackId === 1 ? 'video' : 'audio')
    },
  })
  return { reader, tracks, frames, events, troubles }
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
    ['vp08', '90 76703038'],
    ['an unknown codec', '90 00000001'],
  ])('video in %s is media-unsupported, in words', (what, tag) => {
    expect(() => open().reader.video(0, hex(tag))).toThrow(
      `media-unsupported: video is ${what}; this server takes H.264, HEVC, AV1 and VP9`,
    )
  })

  test.each([
    ['PCM', '3f 00'],
    ['Speex', 'b6 00'],
    ['alac', '90 616c6163'],
  ])('audio in %s is media-unsupported, in words', (what, tag) => {
    expect(() => open().reader.audio(0, hex(tag))).toThrow(
      `media-unsupported: audio is ${what}; this server takes AAC, MP3, Opus, FLAC and AC-3`,
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

/** libaom's sequence header and libvpx's key frame header of 320x180. */
const SEQUENCE_OBU = '0a 0b 00 00 00 04 3c fe cc da f9 00 40'
const VP9_KEY = '82 49 83 42 00 13f0 0b30 10'

describe('Enhanced RTMP v2, tracks that their frames describe', () => {
  test('VP9 has its size in its key frames; a new size is a new track', () => {
    const { reader, tracks, frames } = open()
    reader.expect({ video: true, audio: false })
    reader.video(0, hex('90 76703039 000a 82 02 02 02 0000'))
    reader.video(5, hex('a1 76703039 86 00'))
    expect(tracks).toEqual([])
    reader.video(10, hex(`91 76703039 ${VP9_KEY}`))
    reader.video(20, hex('91 76703039 82 49 83 42 00 09f0 0590 10'))
    expect(tracks.map(([track]) => track)).toMatchObject([
      { codec: 'vp9', codecString: 'vp09.00.10.08', width: 320, height: 180 },
      { width: 160, height: 90 },
    ])
    expect(frames.map(({ dts }) => dts)).toEqual([10, 20])
    expect(reader.droppedFrames).toBe(1)
  })

  test('legacy MP3 needs no header: the first frame tells', () => {
    const { reader, tracks, frames } = open()
    reader.expect({ video: false, audio: true })
    reader.audio(0, hex('2f fffb9064 0000'))
    reader.audio(26, hex('2f 00000000 0000'))
    reader.audio(52, hex('90 2e6d7033'))
    expect(tracks[0]).toMatchObject([
      { id: 2, codec: 'mp3', codecString: 'mp4a.6B', sampleRate: 44_100, channels: 2 },
    ])
    expect(frames).toHaveLength(1)
    expect(reader.droppedFrames).toBe(1)
  })

  test('Opus, FLAC in each of its three forms, and the comment header that says nothing', () => {
    const opus = `${Buffer.from('OpusHead').toString('hex')}01 02 3801 80bb0000 0000 00`
    const info = '1000 1000 000000 000000 0bb802f0 00000000' + '00'.repeat(16)
    for (const [tag, codec] of [
      [`90 4f707573 ${opus}`, 'opus'],
      [`90 664c6143 664c6143 80000022 ${info}`, 'flac'],
      [`90 664c6143 00000022 ${info} 84000001 00`, 'flac'],
      [`90 664c6143 ${info}`, 'flac'],
    ] as const) {
      const { reader, tracks } = open()
      reader.video(0, VIDEO_HEADER)
      reader.audio(0, hex(tag))
      reader.audio(0, hex(`90 4f707573 ${Buffer.from('OpusTags').toString('hex')}`))
      expect(tracks).toHaveLength(1)
      expect(tracks[0]?.[1]).toMatchObject({ codec, sampleRate: 48_000, channels: 2 })
    }
  })

  test('AV1 in ISOBMFF §2.4: a temporal delimiter is left out', () => {
    const { reader, frames } = open()
    reader.expect({ video: true, audio: false })
    reader.video(0, hex(`90 61763031 81000c00`))
    reader.video(0, hex(`91 61763031 1200 ${SEQUENCE_OBU} 32 01 10`))
    expect(frames.map(({ data }) => Buffer.from(data).toString('hex'))).toEqual([
      `${SEQUENCE_OBU.replaceAll(' ', '')}320110`,
    ])
  })
})

describe('Enhanced RTMP v2, several tracks', () => {
  const AVC_TRACK = (index: string) => hex(`96 00 61766331 ${index} ${AVCC}`)

  test('OneTrack: each message says whose it is; ids come in pairs', () => {
    const { reader, tracks, frames } = open()
    reader.audio(0, AUDIO_HEADER)
    reader.video(0, VIDEO_HEADER)
    reader.video(0, AVC_TRACK('01'))
    reader.audio(0, hex('95 00 6d703461 02 1190'))
    reader.video(5, hex('96 01 61766331 01 00000a 00000002 6588'))
    reader.audio(6, hex('95 01 6d703461 02 2110'))
    expect(tracks.at(-1)?.map(({ id }) => id)).toEqual([1, 3, 2, 6])
    expect(frames.map(({ trackId, dts, pts }) => [trackId, dts, pts])).toEqual([
      [3, 5, 15],
      [6, 6, 6],
    ])
  })

  test('ManyTracks and ManyTracksManyCodecs: all of a message is read', () => {
    const { reader, tracks, frames } = open()
    const size = hex(AVCC).length.toString(16).padStart(6, '0')
    reader.audio(0, AUDIO_HEADER)
    reader.video(0, hex(`96 10 61766331 00 ${size} ${AVCC} 01 ${size} ${AVCC}`))
    reader.video(40, hex(`a6 13 61766331 00 000006 00000002 4188 01 000006 00000002 4189`))
    const mp3 = 'fffb9464 0000'
    reader.audio(41, hex(`95 21 6d703461 00 000002 2110 2e6d7033 01 000006 ${mp3}`))
    expect(tracks.at(-1)?.map(({ id, codec }) => [id, codec])).toEqual([
      [1, 'avc'],
      [3, 'avc'],
      [2, 'aac'],
      [4, 'mp3'],
    ])
    expect(frames.map(({ trackId, dts }) => [trackId, dts])).toEqual([
      [1, 40],
      [3, 40],
      [2, 41],
      [4, 41],
    ])
  })

  test('sizes that lie, types nobody knows and endless extensions cost their message, said once', () => {
    const { reader, frames, troubles } = open()
    reader.audio(0, AUDIO_HEADER)
    reader.video(0, VIDEO_HEADER)
    for (let i = 0; i < 3; i += 1) {
      reader.video(0, hex('a6 13 61766331 00 000006 00000002 4188 01 ffffff 00'))
      reader.video(0, hex('96 30 61766331 00'))
      reader.video(0, hex('96 06 61766331 00'))
      reader.video(0, hex(`97 ${'0000 07 '.repeat(20)}`))
      reader.video(0, hex('97 ff ffff'))
    }
    expect(frames).toHaveLength(3)
    expect(troubles).toEqual([
      'video: track 1 claims 16777215 bytes of 1',
      'video: a multitrack message has type 3',
      'video: a multitrack message lies in another',
      'video: a message ends in its extensions',
    ])
  })

  test('the ninth track of a kind and one in a codec nobody takes are left out, the stream goes on', () => {
    const { reader, tracks, troubles } = open()
    reader.audio(0, AUDIO_HEADER)
    reader.video(0, VIDEO_HEADER)
    reader.video(0, hex('96 00 76703038 ff 00'))
    for (const index of ['01', '02', '03', '04', '05', '06', '07', 'ff'])
      reader.video(0, AVC_TRACK(index))
    expect(tracks.at(-1)?.map(({ id }) => id)).toEqual([1, 3, 5, 7, 9, 11, 13, 15, 2])
    expect(troubles).toEqual([
      'track 255: video is vp08; this server takes H.264, HEVC, AV1 and VP9',
      'video track 255 is left out: 8 are the most of a kind',
    ])
  })

  test('track 255 is a track like any other', () => {
    const { reader, tracks } = open()
    reader.audio(0, AUDIO_HEADER)
    reader.video(0, AVC_TRACK('ff'))
    expect(tracks[0]?.map(({ id }) => id)).toEqual([511, 2])
  })

  test('a track whose sequence ended is gone when the others go on, and stays when all stop', () => {
    const { reader, tracks } = open()
    reader.audio(0, AUDIO_HEADER)
    reader.video(0, VIDEO_HEADER)
    reader.video(0, AVC_TRACK('01'))
    reader.video(0, KEY)
    reader.video(10, hex('96 02 61766331 01'))
    reader.video(20, hex('92 61766331'))
    reader.audio(490, SOUND)
    expect(tracks).toHaveLength(2)
    reader.video(500, KEY)
    reader.audio(520, SOUND)
    expect(tracks.at(-1)?.map(({ id }) => id)).toEqual([1, 2])
  })

  test('another FourCC in mid-stream is another track of the same id; frames of the old one are dropped', () => {
    const { reader, tracks, frames } = open()
    reader.audio(0, AUDIO_HEADER)
    reader.video(0, VIDEO_HEADER)
    reader.video(0, KEY)
    reader.video(40, hex(`90 61763031 81000c00 ${SEQUENCE_OBU}`))
    reader.video(40, hex('91 61763031 32 01 10'))
    reader.video(80, INTER)
    expect(tracks.at(-1)).toMatchObject([{ id: 1, codec: 'av1', width: 320, height: 180 }, {}])
    expect(frames.map(({ dts }) => dts)).toEqual([0, 40])
    expect(reader.droppedFrames).toBe(1)
  })
})

test('a decoder configuration of more than 32 KiB is refused: it would be an init section of every rewind', () => {
  const { reader, tracks } = open()
  const long = Buffer.concat([VIDEO_HEADER, Buffer.alloc(32 * 1024)])
  expect(() => reader.video(0, long)).toThrow(/a decoder configuration of 3\d{4} bytes/)
  expect(() => reader.audio(0, Buffer.concat([AUDIO_HEADER, Buffer.alloc(32 * 1024)]))).toThrow(
    /32768 are the most/,
  )
  expect(tracks).toEqual([])
})
