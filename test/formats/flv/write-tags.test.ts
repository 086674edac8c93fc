import { describe, expect, test } from 'vitest'
import type { Track } from '../../../server/codecs/track.ts'
import { readAudioTag, readVideoTag } from '../../../server/formats/flv/read-tags.ts'
import {
  flvCodecId,
  flvConfigBody,
  flvFileHeader,
  flvFileTag,
  flvFrameBody,
} from '../../../server/formats/flv/write-tags.ts'

const VIDEO: Track = {
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
const AUDIO: Track = {
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
const OPUS: Track = { ...AUDIO, codec: 'opus', codecString: 'opus' }
const DATA = Buffer.from([0, 0, 0, 1, 0x65])

describe('FLV tag bodies', () => {
  test('what is written is read again, in milliseconds', () => {
    const frame = { trackId: 1, dts: 9000, pts: 6030, key: true, data: DATA }
    expect(readVideoTag(flvFrameBody(VIDEO, frame) ?? DATA)).toEqual({
      kind: 'frame',
      codec: 'avc',
      key: true,
      compositionMs: -33,
      data: DATA,
    })
    expect(readVideoTag(flvConfigBody(VIDEO) ?? DATA)).toMatchObject({
      kind: 'config',
      config: VIDEO.config,
    })
    expect(readAudioTag(flvFrameBody(AUDIO, { ...frame, trackId: 2 }) ?? DATA)).toMatchObject({
      kind: 'frame',
      data: DATA,
    })
    expect(readAudioTag(flvConfigBody(AUDIO) ?? DATA)).toMatchObject({
      kind: 'config',
      config: AUDIO.config,
    })
  })

  test('a codec without number is not written', () => {
    const frame = { trackId: 2, dts: 0, pts: 0, key: true, data: DATA }
    expect(flvConfigBody(OPUS)).toBeUndefined()
    expect(flvFrameBody(OPUS, frame)).toBeUndefined()
    expect(flvCodecId(OPUS)).toBeUndefined()
    expect([flvCodecId(VIDEO), flvCodecId(AUDIO)]).toEqual([7, 10])
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
