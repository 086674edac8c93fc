import { describe, expect, test } from 'vitest'
import type { AudioTrack, Track, VideoTrack } from '../../../server/codecs/track.ts'
import { readAudioTag, readVideoTag } from '../../../server/formats/flv/read-tags.ts'
import {
  flvCodecId,
  flvConfigBody,
  flvFileHeader,
  flvFileTag,
  flvFrameBody,
} from '../../../server/formats/flv/write-tags.ts'

const VIDEO: VideoTrack = {
  id: 1,
  kind: 'video',
  codec: 'avc',
  codecString: 'avc1.64000d',
  timescale: 90_000,
  config: Buffer.from('avcC'),
  language: 'und',
  width: 320,
  height: 180,
  pixelAspect: [1, 1],
  rotation: 0,
}
const AUDIO: AudioTrack = {
  id: 2,
  kind: 'audio',
  codec: 'aac',
  codecString: 'mp4a.40.2',
  timescale: 48_000,
  config: Buffer.from([0x11, 0x90]),
  language: 'und',
  sampleRate: 48_000,
  channels: 2,
}
const DATA = Buffer.from([0, 0, 0, 1, 0x65])

/** First byte, FourCC, the rest. */
const hexOf = (body: Buffer | undefined) =>
  [body?.subarray(0, 1), body?.subarray(1, 5), body?.subarray(5)]
    .map((piece) => piece?.toString('hex'))
    .join(' ')

describe('FLV tag bodies', () => {
  test('what is written is read again, in milliseconds', () => {
    const frame = { trackId: 1, dts: 9000, pts: 6030, key: true, data: DATA }
    expect(readVideoTag(flvFrameBody(VIDEO, frame) ?? DATA)).toEqual([
      { kind: 'frame', index: 0, codec: 'avc', key: true, compositionMs: -33, data: DATA },
    ])
    expect(readVideoTag(flvConfigBody(VIDEO) ?? DATA)).toMatchObject([
      { kind: 'config', codec: 'avc', config: VIDEO.config },
    ])
    expect(readAudioTag(flvFrameBody(AUDIO, { ...frame, trackId: 2 }) ?? DATA)).toMatchObject([
      { kind: 'frame', codec: 'aac', data: DATA },
    ])
    expect(readAudioTag(flvConfigBody(AUDIO) ?? DATA)).toMatchObject([
      { kind: 'config', codec: 'aac', config: AUDIO.config },
    ])
  })

  test('Enhanced RTMP: what classic FLV has no number for goes under its FourCC', () => {
    const frame = { trackId: 1, dts: 9000, pts: 9000, key: true, data: DATA }
    const hevc: Track = { ...VIDEO, codec: 'hevc' }
    const body = (track: Track, pts = 9000) => hexOf(flvFrameBody(track, { ...frame, pts }))
    expect(body(hevc)).toBe('93 68766331 0000000165')
    expect(body(hevc, 12_600)).toBe('91 68766331 0000280000000165')
    expect(body({ ...VIDEO, codec: 'av1' })).toBe('91 61763031 0000000165')
    expect(body({ ...VIDEO, codec: 'vp9' })).toBe('91 76703039 0000000165')
    expect(hexOf(flvConfigBody(hevc))).toBe('90 68766331 61766343')
    const sound = (codec: AudioTrack['codec']) => ({ ...AUDIO, codec })
    expect(body(sound('opus'))).toBe('91 4f707573 0000000165')
    expect(body(sound('ac3'))).toBe('91 61632d33 0000000165')
    expect(flvFrameBody(sound('mp3'), frame)?.toString('hex')).toBe('2f0000000165')
    const dops = Buffer.from('00020138 0000bb80 0000 00'.replaceAll(' ', ''), 'hex')
    expect(hexOf(flvConfigBody({ ...sound('opus'), config: dops }))).toBe(
      `90 4f707573 ${Buffer.from('OpusHead').toString('hex')}0102380180bb0000000000`,
    )
    expect(flvConfigBody(sound('eac3'))).toBeUndefined()
    expect(flvCodecId(hevc)).toBe(0x68766331)
    expect([flvCodecId(VIDEO), flvCodecId(AUDIO), flvCodecId(sound('mp3'))]).toEqual([7, 10, 2])
  })

  test('a frame past 24 bits of length is not written', () => {
    const data = new Uint8Array(0xff_ffff)
    expect(flvFrameBody(VIDEO, { trackId: 1, dts: 0, pts: 0, key: true, data })).toBeUndefined()
  })
})

describe('FLV files', () => {
  test('§E.2: the header tells which kinds follow', () => {
    expect(flvFileHeader([VIDEO, AUDIO]).toString('hex')).toBe('464c5601050000000900000000')
    expect(flvFileHeader([AUDIO])[4]).toBe(4)
  })

  test('§E.4.1: a tag has its time in 24 + 8 bits and its size behind it', () => {
    const tag = flvFileTag(8, 0x0102_0304, Buffer.from([0xaf, 0]))
    expect(tag.toString('hex')).toBe('08000002020304010000 00af000000000d'.replace(' ', ''))
  })
})
