import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readAc3Frame, readEac3Frame } from '../../server/codecs/ac3.ts'
import { av1Obus } from '../../server/codecs/av1.ts'
import { parseAv1Sequence } from '../../server/codecs/av1-sequence.ts'
import { flacConfigOf, flacSamples } from '../../server/codecs/flac.ts'
import { parseHevcSps } from '../../server/codecs/hevc-sps.ts'
import { mp3Samples, readMp3Header } from '../../server/codecs/mp3.ts'
import { opusConfigOfHead, opusHeadOf, opusSamples } from '../../server/codecs/opus.ts'
import { readVp9KeyFrame } from '../../server/codecs/vp9.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')

/** x265 3.5, Main 10, 320x180 in 8x8 units cropped, pixels 4:3, BT.2020 with PQ. */
const HEVC_SPS =
  '4201 0102200000030090000003000003003c a00a080c1f3b6595952930bc39a848804820000003002000000303 21'
/** libaom, 320x180, 8 bits. */
const AV1_SEQUENCE = '00 00 00 04 3c fe cc da f9 00 40'

describe('pictures', () => {
  it('ITU-T H.265 §7.3.2.2: reads size, pixel aspect and colours of an SPS', () => {
    expect(parseHevcSps(bytes(HEVC_SPS))).toEqual({
      width: 320,
      height: 180,
      pixelAspect: [4, 3],
      colour: { primaries: 9, transfer: 16, matrix: 9, fullRange: false },
    })
  })

  it('an HEVC SPS that ends before its VUI still has its size', () => {
    expect(parseHevcSps(bytes(HEVC_SPS).subarray(0, 26))).toMatchObject({
      width: 320,
      height: 180,
      pixelAspect: [1, 1],
      colour: undefined,
    })
  })

  it('AV1 §5.5: reads the size of a sequence header, and units by their own lengths (§5.3)', () => {
    const units = [...av1Obus(bytes(`12 00 0a 0b ${AV1_SEQUENCE} 30 aabb`))]
    expect(units.map(({ type }) => type)).toEqual([2, 1, 6])
    const { width, height } = parseAv1Sequence(units[1]?.payload ?? bytes(''))
    expect([width, height]).toEqual([320, 180])
    expect(() => [...av1Obus(bytes('0a 0b 00'))]).toThrow(/^media-broken/)
    expect(() => [...av1Obus(bytes('0a ff ff ff ff ff ff ff ff'))]).toThrow(/^media-broken/)
  })

  it('VP9 §6.2: key frames have a size, others and shown-again ones none', () => {
    expect(readVp9KeyFrame(bytes('82 49 83 42 00 13f0 0b30 10'))).toEqual({
      width: 320,
      height: 180,
    })
    expect(readVp9KeyFrame(bytes('86 00'))).toBeUndefined()
    expect(readVp9KeyFrame(bytes('8a'))).toBeUndefined()
    expect(() => readVp9KeyFrame(bytes('82 49 83 43 00'))).toThrow(/^media-broken/)
  })
})

describe('sound', () => {
  it('RFC 7845 §5.1: an identification header becomes dOps and back', () => {
    const head = bytes(
      `${Buffer.from('OpusHead').toString('hex')} 01 02 3801 80bb0000 0a00 01 01 01 00 01`,
    )
    const dops = opusConfigOfHead(head) ?? bytes('')
    expect(Buffer.from(dops).toString('hex')).toBe('000201380000bb80000a0101010001')
    expect(Buffer.from(opusHeadOf(dops)).equals(head)).toBe(true)
    expect(opusConfigOfHead(Buffer.from('OpusTags'))).toBeUndefined()
    expect(() => opusConfigOfHead(head.subarray(0, 18))).toThrow(/^media-broken/)
  })

  it.each([
    ['CELT 20 ms', 'fc', 960],
    ['CELT 2.5 ms', 'e4', 120],
    ['two frames of SILK 60 ms', '1a', 5760],
    ['hybrid 10 ms', '60', 480],
    ['three frames of CELT 20 ms, told by a count', 'ff 03', 2880],
    ['no frames at all', 'ff 00', undefined],
    ['more than 120 ms', 'ff 07', undefined],
    ['an empty packet', '', undefined],
  ])('RFC 6716 §3.1: %s', (_, packet, samples) => {
    expect(opusSamples(bytes(packet))).toBe(samples)
  })

  it.each([
    ['a code', 'fff8 c9 18 00', 4096],
    ['192', 'fff8 19 18 00', 192],
    ['1152', 'fff8 39 18 00', 1152],
    ['eight bits behind a number of two bytes', 'fff8 69 18 c280 63', 100],
    ['sixteen bits behind a number of one byte', 'fff9 79 18 00 12bf', 4800],
    ['nothing', 'fff8 09 18 00', undefined],
    ['no frame', 'ffe8 c9 18 00', undefined],
    ['a frame cut short', 'fff8 79 18', undefined],
  ])('RFC 9639 §9.1: the block size of a FLAC frame by %s', (_, frame, samples) => {
    expect(flacSamples(bytes(frame))).toBe(samples)
  })

  it('a FLAC header without STREAMINFO is refused', () => {
    expect(() => flacConfigOf(bytes('664c6143 84000001 00'))).toThrow(/^media-broken/)
    expect(() => flacConfigOf(bytes(''))).toThrow(/^media-broken/)
  })

  it('ISO/IEC 11172-3 §2.4.1.3: MP3 frames say how long they are', () => {
    expect(readMp3Header(bytes('fffb9064'))).toEqual({
      sampleRate: 44_100,
      channels: 2,
      samples: 1152,
      bytes: 417,
    })
    expect(readMp3Header(bytes('fff384c0'))).toEqual({
      sampleRate: 24_000,
      channels: 1,
      samples: 576,
      bytes: 192,
    })
    const two = Buffer.concat([bytes('fffb9064'), Buffer.alloc(413), bytes('fffb9064')])
    expect(mp3Samples(two)).toBe(2304)
    for (const wrong of ['fffb0064', 'fffbf064', 'fffd9064', 'ffeb9064', 'fffb9c64', 'fffb90'])
      expect(readMp3Header(bytes(wrong))).toBeUndefined()
  })

  it('ETSI TS 102 366 §F.4, §F.6: AC-3 and E-AC-3 boxes are made of frames', () => {
    // 48 kHz, 384 kbit/s, bsid 8, 3/2 with the low-frequency channel.
    const ac3 = readAc3Frame(bytes('0b77 0000 1c 40 e1 00'))
    expect(Buffer.from(ac3.config).toString('hex')).toBe('103dc0')
    expect(ac3).toMatchObject({ sampleRate: 48_000, channels: 6, samples: 1536 })
    // 768 bytes, 48 kHz, six blocks, stereo, bsid 16.
    const eac3 = readEac3Frame(bytes('0b77 017f 34 80 00'))
    expect(eac3).toMatchObject({ sampleRate: 48_000, channels: 2, samples: 1536 })
    expect(Buffer.from(eac3.config).toString('hex')).toBe('0600200400')
    for (const wrong of ['0b78 0000 1c 40 e1', '0b77 0000 1c 80 e1', '0b77'])
      expect(() => readAc3Frame(bytes(wrong))).toThrow(/^media-broken/)
  })
})

it('takes any bytes, or refuses them by a code', () => {
  const readers = [
    parseHevcSps,
    parseAv1Sequence,
    (input: Uint8Array) => [...av1Obus(input)],
    readVp9KeyFrame,
    opusConfigOfHead,
    opusHeadOf,
    opusSamples,
    flacConfigOf,
    flacSamples,
    mp3Samples,
    readAc3Frame,
    readEac3Frame,
  ]
  const good = [HEVC_SPS, AV1_SEQUENCE, '82498342', 'fffb9064', '0b77', 'fff8', '4f70757348656164']
  const input = fc
    .tuple(fc.constantFrom('', ...good), fc.uint8Array({ maxLength: 80 }), fc.nat(90))
    .map(([head, rest, length]) => Buffer.concat([bytes(head), rest]).subarray(0, length))
  fc.assert(
    fc.property(input, fc.constantFrom(...readers), (data, read) => {
      try {
        read(data)
      } catch (error) {
        expect(error).toBeInstanceOf(NearcastError)
      }
    }),
    { numRuns: FUZZ_RUNS * 2 },
  )
})
