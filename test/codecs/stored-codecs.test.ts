import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseAc3Config, parseEac3Config } from '../../server/codecs/ac3.ts'
import { parseAv1Config } from '../../server/codecs/av1.ts'
import { parseFlacConfig } from '../../server/codecs/flac.ts'
import { parseHevcConfig } from '../../server/codecs/hevc.ts'
import { parseOpusConfig } from '../../server/codecs/opus.ts'
import { parseVp9Config } from '../../server/codecs/vp9.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')

it('names HEVC profiles as ISO/IEC 14496-15 §E.3 does', () => {
  // Main, level 3.1, from x265; then the arrays: VPS, SPS, PPS of two bytes each.
  const head = '01 01 60000000 900000000000 5d f000 fc fd f8 f8 0000 0f 03'
  const arrays = 'a0 0001 0002 4001 a1 0001 0002 4201 a2 0001 0002 4401'
  expect(parseHevcConfig(bytes(head + arrays))).toEqual({
    profileString: '1.6.L93.90',
    chromaFormat: 1,
    bitDepth: 8,
    hasParameterSets: true,
    nalLengthSize: 4,
    picture: undefined,
  })
  const withoutPps = bytes(head + 'a0 0001 0002 4001 a1 0001 0002 4201')
  expect(parseHevcConfig(withoutPps).hasParameterSets).toBe(false)
  const main10High = bytes('01 22 20000000 b00000000000 99 f000 fc fd fa fa 0000 0f 00')
  expect(parseHevcConfig(main10High)).toMatchObject({ profileString: '2.4.H153.B0', bitDepth: 10 })
})

it('names AV1 as AV1 in ISOBMFF §5 does', () => {
  expect(parseAv1Config(bytes('81 05 0c 00')).codecString).toBe('av01.0.05M.08')
  expect(parseAv1Config(bytes('81 0d cc 00')).codecString).toBe('av01.0.13H.10')
  expect(parseAv1Config(bytes('81 50 60 00'))).toMatchObject({ profile: 2, bitDepth: 12 })
})

it('names VP9 by profile, level and depth', () => {
  expect(parseVp9Config(bytes('00 1f 82 02 02 02 0000')).codecString).toBe('vp09.00.31.08')
  expect(parseVp9Config(bytes('02 00 a2 02 02 02 0000')).codecString).toBe('vp09.02.10.10')
})

it('reads what sound needs', () => {
  expect(parseOpusConfig(bytes('00 02 0138 0000bb80 0000 00'))).toEqual({
    channels: 2,
    preSkip: 312,
  })
  const streamInfo = `80000022 1000 1000 000000 000000 0ac442f0 00000000${'00'.repeat(16)}`
  expect(parseFlacConfig(bytes(streamInfo))).toEqual({
    sampleRate: 44_100,
    channels: 2,
    bitDepth: 16,
    blockSamplesMax: 4096,
  })
  // 48 kHz, 3/2 and the low-frequency channel.
  expect(parseAc3Config(bytes('10 3d e0'))).toEqual({ sampleRate: 48_000, channels: 6 })
  expect(parseEac3Config(bytes('0600 200f 00'))).toEqual({ sampleRate: 48_000, channels: 6 })
})

it('takes any bytes, or refuses them by a code', () => {
  const parsers = [
    parseHevcConfig,
    parseAv1Config,
    parseVp9Config,
    parseOpusConfig,
    parseFlacConfig,
    parseAc3Config,
    parseEac3Config,
  ]
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(...parsers), (input, parse) => {
      try {
        parse(input)
      } catch (error) {
        expect(error).toBeInstanceOf(NearcastError)
      }
    }),
    { numRuns: FUZZ_RUNS },
  )
})
