import { describe, expect, test } from 'vitest'
import { parseAudioSpecificConfig } from '../../server/codecs/aac.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('AudioSpecificConfig', () => {
  test.each([
    ['AAC-LC 48 kHz stereo', '1190', 2, 48_000, 48_000, 2, 1024],
    ['AAC-LC 44.1 kHz mono', '1208', 2, 44_100, 44_100, 1, 1024],
    ['AAC-LC 48 kHz 7.1', '11b8', 2, 48_000, 48_000, 8, 1024],
    ['AAC-LC in frames of 960', '1194', 2, 48_000, 48_000, 2, 960],
    ['AAC-LC with an explicit rate of 48,000', '1780 5dc0 10', 2, 48_000, 48_000, 2, 1024],
    ['HE-AAC signalled first', '2b11 8800', 5, 24_000, 48_000, 2, 1024],
    ['HE-AAC v2 signalled first', 'eb09 8800', 29, 24_000, 48_000, 2, 1024],
    ['HE-AAC told behind the core', '1310 56e5 98', 5, 24_000, 48_000, 2, 1024],
    ['HE-AAC v2 told behind the core', '1308 56e5 9d 4880', 29, 24_000, 48_000, 2, 1024],
    ['ffmpeg: AAC-LC with SBR denied', '1190 56e5 00', 2, 48_000, 48_000, 2, 1024],
  ])('%s', (_, bytes, objectType, sampleRate, outputSampleRate, channels, samplesPerFrame) => {
    expect(parseAudioSpecificConfig(hex(bytes))).toEqual({
      objectType,
      sampleRate,
      outputSampleRate,
      channels,
      samplesPerFrame,
      codecString: `mp4a.40.${objectType}`,
    })
  })

  // Written by ffmpeg 5.1's own AAC encoder for these layouts.
  test.each([
    ['2.1', '118004c4010020000d4c61766335392e33372e3130', 3],
    ['quad', '118004c4040021100d4c61766335392e33372e3130', 4],
    ['hexagonal', '118004c808002008840d4c61766335392e33372e31', 6],
  ])('channel configuration 0 counts the program config element: %s', (_, bytes, channels) => {
    expect(parseAudioSpecificConfig(hex(bytes)).channels).toBe(channels)
  })

  test.each([
    ['nothing', ''],
    ['one byte', '11'],
    ['a reserved rate index', '1690'],
    ['an explicit rate of 0', '1780 0000 10'],
    ['a reserved channel configuration', '11c8'],
    ['a program config element cut short', '1180 04'],
  ])('%s is media-broken', (_, bytes) => {
    expect(() => parseAudioSpecificConfig(hex(bytes))).toThrow(/^media-broken/)
  })

  test('another object type is media-unsupported', () => {
    expect(() => parseAudioSpecificConfig(hex('f8e0 1190'))).toThrow(/^media-unsupported/)
  })
})
