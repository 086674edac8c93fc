import { describe, expect, test } from 'vitest'
import { avcNalUnits, parseAvcConfig } from '../../server/codecs/avc.ts'
import { parseAvcSps } from '../../server/codecs/avc-sps.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

// x264 in ffmpeg 5.1: testsrc2 320x180 at 30 a second, High, 3 B-frames wanted.
const SPS_320x180 = hex(
  '67 64 00 0d ac d9 41 41 9f 9f 01 10 00 00 03 00 10 00 00 03 03 c0 f1 42 99 60',
)
const PPS = hex('68 eb e3 cb 22 c0')

function avcc(sps: Uint8Array, pps: Uint8Array, lengthByte = 0xff): Buffer {
  const size = (unit: Uint8Array) => Buffer.from([unit.length >> 8, unit.length & 255])
  return Buffer.concat([
    Buffer.from([1, sps[1] ?? 0, sps[2] ?? 0, sps[3] ?? 0, lengthByte, 0xe1]),
    size(sps),
    sps,
    Buffer.from([1]),
    size(pps),
    pps,
  ])
}

describe('AVC configuration', () => {
  test('an avcC tells size, frame rate, reorder depth and the codec string', () => {
    const config = parseAvcConfig(avcc(SPS_320x180, PPS))
    expect(config.codecString).toBe('avc1.64000d')
    expect(config.nalLengthSize).toBe(4)
    expect(config.picture).toMatchObject({
      width: 320,
      height: 180,
      pixelAspect: [1, 1],
      frameRate: 30,
      chromaFormat: 1,
      bitDepth: 8,
      reorderDepth: 2,
    })
  })

  // Each avcC was written by x264 in ffmpeg 5.1 from testsrc2 with the size, rate, SAR and pixel format named.
  test.each([
    {
      made: '720x576 at 25, interlaced, SAR 16:11, main',
      avcc: '014d401effe10018674d401eeca05a126c1040000003004000000c87c50a658001000568fba3cb20',
      is: { width: 720, height: 576, pixelAspect: [16, 11], frameRate: 25, reorderDepth: 2 },
    },
    {
      made: '322x182 at 30000/1001, SAR 7:5, baseline',
      avcc: '0142c00dffe1001b6742c00dd901519e226ffc001c0014400000fa40003a9803c50a9201000568cb83cb20',
      is: {
        width: 322,
        height: 182,
        pixelAspect: [7, 5],
        frameRate: 30_000 / 1001,
        reorderDepth: 0,
      },
    },
    {
      made: '320x180 at 24, 4:4:4 with 10 bits',
      avcc: '01f4000cffe1001b67f4000c90d9b282833f1b80880000030008000003018078a14cb001000668ebe3c44844fffafa00',
      is: { width: 320, height: 180, frameRate: 24, chromaFormat: 3, bitDepth: 10 },
    },
    {
      made: '320x182 at 24, 4:2:2 with 10 bits',
      avcc: '017a000cffe1001a677a000cb6cd941419f8bc0440000003004000000c03c50a658001000668ebe3cb22c0fefafa00',
      is: { width: 320, height: 182, frameRate: 24, chromaFormat: 2, bitDepth: 10 },
    },
  ])('$made', ({ avcc: record, is }) => {
    expect(parseAvcConfig(hex(record)).picture).toMatchObject(is)
  })

  test.each([
    ['nothing', hex('')],
    ['six bytes', hex('01 64 00 0d ff e1')],
    ['a parameter set longer than the record', hex('01 64 00 0d ff e1 ff ff 67 64')],
    ['an empty parameter set', hex('01 64 00 0d ff e1 00 00 01 00 00')],
    ['NAL lengths of three bytes', avcc(SPS_320x180, PPS, 0xfe)],
    ['version 0', Buffer.concat([hex('00'), avcc(SPS_320x180, PPS).subarray(1)])],
    ['a PPS where the SPS belongs', avcc(PPS, PPS)],
  ])('%s is media-broken', (_, bytes) => {
    expect(() => parseAvcConfig(bytes)).toThrow(/^media-broken/)
  })

  test('an avcC without SPS is media-unsupported: in-band parameter sets are not read', () => {
    expect(() => parseAvcConfig(hex('01 64 00 0d ff e0 00'))).toThrow(/^media-unsupported/)
  })

  test('a VUI cut short costs only what it would have said', () => {
    expect(parseAvcSps(SPS_320x180.subarray(0, 12))).toMatchObject({ width: 320, height: 180 })
  })
})

describe('AVC access units', () => {
  test('their NAL units are told by lengths of 1, 2 or 4 bytes', () => {
    const units = (data: string, size: 1 | 2 | 4) =>
      [...avcNalUnits(hex(data), size)].map((unit) => Buffer.from(unit).toString('hex'))
    expect(units('00000002 09f0 00000000 00000003 658801', 4)).toEqual(['09f0', '', '658801'])
    expect(units('0002 6588', 2)).toEqual(['6588'])
    expect(units('02 6588', 1)).toEqual(['6588'])
  })

  test('a NAL length that leaves the unit, or is cut short, is media-broken', () => {
    expect(() => [...avcNalUnits(hex('00000009 4188'), 4)]).toThrow(/^media-broken/)
    expect(() => [...avcNalUnits(hex('00000002 4188 0000'), 4)]).toThrow(/^media-broken/)
  })
})
