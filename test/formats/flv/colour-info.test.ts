import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Frame } from '../../../server/codecs/frame.ts'
import type { Track } from '../../../server/codecs/track.ts'
import { type AmfOut, writeAmf0 } from '../../../server/formats/flv/amf0.ts'
import { FlvReader } from '../../../server/formats/flv/flv-reader.ts'
import { readColourInfo } from '../../../server/formats/flv/read-colour-info.ts'
import { NearcastError } from '../../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../../support/fuzz-runs.ts'

/** What OBS sends for a PQ picture: Rec. 2100, a display of 1,000 cd/m². */
const PQ = {
  colorConfig: {
    bitDepth: 10,
    colorPrimaries: 9,
    transferCharacteristics: 16,
    matrixCoefficients: 9,
  },
  hdrCll: { maxFall: 300, maxCLL: 1000 },
  hdrMdcv: {
    redX: 0.68,
    redY: 0.32,
    greenX: 0.265,
    greenY: 0.69,
    blueX: 0.15,
    blueY: 0.06,
    whitePointX: 0.3127,
    whitePointY: 0.329,
    maxLuminance: 1000,
    minLuminance: 0.0001,
  },
}
const NOTHING = { colour: undefined, mastering: undefined, contentLight: undefined }
const infoOf = (value: AmfOut) => readColourInfo(writeAmf0('colorInfo', value))

describe('colorInfo', () => {
  test('says colours, the display and how bright it gets', () => {
    expect(infoOf(PQ)).toEqual({
      colour: { primaries: 9, transfer: 16, matrix: 9 },
      mastering: {
        red: [0.68, 0.32],
        green: [0.265, 0.69],
        blue: [0.15, 0.06],
        white: [0.3127, 0.329],
        maxLuminance: 1000,
        minLuminance: 0.0001,
      },
      contentLight: { maxCll: 1000, maxFall: 300 },
    })
  })

  test('of nothing takes back what was said', () => {
    expect(infoOf({})).toEqual(NOTHING)
    expect(readColourInfo(Buffer.concat([writeAmf0('colorInfo'), Buffer.from([6])]))).toEqual(
      NOTHING,
    )
  })

  test('is one of several names, and a frame without it says nothing', () => {
    expect(readColourInfo(writeAmf0('other', 1))).toBeUndefined()
    expect(readColourInfo(writeAmf0('colorInfo'))).toBeUndefined()
    expect(readColourInfo(writeAmf0('other', 1, 'colorInfo', {}))).toEqual(NOTHING)
  })

  test.each<readonly [string, AmfOut]>([
    ['a code point of 300', { colorConfig: { transferCharacteristics: 300 } }],
    ['a code point of 1.5', { colorConfig: { colorPrimaries: 1.5 } }],
    [
      'words for numbers',
      { colorConfig: { matrixCoefficients: 'bt2020' }, hdrCll: { maxCLL: 'x' } },
    ],
    ['a display without blue', { hdrMdcv: { ...PQ.hdrMdcv, blueX: 0 } }],
    ['a display whose black is its white', { hdrMdcv: { ...PQ.hdrMdcv, minLuminance: 1000 } }],
    ['a display of 1e300', { hdrMdcv: { ...PQ.hdrMdcv, maxLuminance: 1e300 } }],
    ['no light at all', { hdrCll: { maxFall: 0, maxCLL: 0 } }],
    ['lists for objects', { colorConfig: [1, 2], hdrCll: [3], hdrMdcv: [4] }],
  ])('that can not be is left out: %s', (_, value) => {
    expect(infoOf(value)).toEqual(NOTHING)
  })

  test('of any bytes is read within bounds, or refused with a code', () => {
    const named = writeAmf0('colorInfo')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          const info = readColourInfo(Buffer.concat([named, bytes]))
          for (const value of Object.values(info?.colour ?? {}))
            expect(value).toBeLessThanOrEqual(255)
        } catch (error) {
          if (!(error instanceof NearcastError)) throw error
        }
      }),
      { numRuns: FUZZ_RUNS },
    )
  })
})

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')
// x265 in ffmpeg 5.1 from testsrc2, 320x180, Main 10; its SPS says BT.2020 with PQ.
const HVCC = hex(
  '0102200000009000000000003cf000fcfdfafa00000f01a10001002e42010102200000030090000003000003003ca00a080c1f3b6595952930bc39a848804820000003002000000' +
    '30321',
)
const HLG = { colorConfig: { ...PQ.colorConfig, transferCharacteristics: 18 } }
const HEADER = Buffer.concat([hex('90 68766331'), HVCC])
const KEY = hex('93 68766331 00000003 260101')
const metadata = (...values: readonly AmfOut[]) =>
  Buffer.concat([hex('94 68766331'), writeAmf0(...values)])

function open() {
  const tracks: (readonly Track[])[] = []
  const frames: Frame[] = []
  const troubles: string[] = []
  const reader = new FlvReader({
    onTracks: (now) => tracks.push(now),
    onFrame: (frame) => frames.push(frame),
    onTrouble: (reason) => troubles.push(reason),
  })
  reader.expect({ video: true, audio: false })
  return { reader, tracks, frames, troubles }
}

describe('a publisher that says its colours', () => {
  test('behind its header and before its first picture has them from the beginning', () => {
    const { reader, tracks } = open()
    reader.video(0, HEADER)
    reader.video(0, metadata('colorInfo', PQ))
    reader.video(0, KEY)
    expect(tracks).toHaveLength(1)
    expect(tracks[0]).toMatchObject([
      {
        colour: { primaries: 9, transfer: 16, matrix: 9, fullRange: false },
        contentLight: { maxCll: 1000, maxFall: 300 },
      },
    ])
  })

  test('before its header has them, too', () => {
    const { reader, tracks } = open()
    reader.video(0, metadata('colorInfo', HLG))
    reader.video(0, HEADER)
    reader.video(0, KEY)
    expect(tracks).toMatchObject([[{ colour: { transfer: 18 } }]])
  })

  test('again is no change, otherwise is one, and the bitstream counts when they are taken back', () => {
    const { reader, tracks } = open()
    reader.video(0, HEADER)
    reader.video(0, metadata('colorInfo', {}))
    reader.video(0, KEY)
    reader.video(40, metadata('colorInfo', HLG))
    reader.video(40, metadata('colorInfo', HLG))
    reader.video(40, KEY)
    reader.video(80, metadata('colorInfo', {}))
    reader.video(80, KEY)
    const transfers = tracks.map(([track]) => track?.kind === 'video' && track.colour?.transfer)
    expect(transfers).toEqual([16, 18, 16])
  })

  test('in bytes that are no AMF goes on without them, in one line', () => {
    const { reader, tracks, frames, troubles } = open()
    reader.video(0, HEADER)
    for (let i = 0; i < 3; i += 1) reader.video(0, hex('94 68766331 02ffff'))
    reader.video(0, KEY)
    expect(tracks).toMatchObject([[{ codec: 'hevc' }]])
    expect(frames).toHaveLength(1)
    expect(troubles).toEqual([expect.stringMatching(/^video metadata: bad-request: AMF/)])
  })

  test('of VP9 has them in its vpcC as well', () => {
    const { reader, tracks } = open()
    reader.video(0, hex('90 76703039 000a820202020000'))
    reader.video(0, Buffer.concat([hex('94 76703039'), writeAmf0('colorInfo', PQ)]))
    // VP9 §6.2: marker 2, profile 0, key frame, sync code, 4:2:0 of colour space 1, 320x180.
    reader.video(0, hex('91 76703039 824983422013f00b3000'))
    const config = Buffer.from(tracks[0]?.[0]?.config ?? []).toString('hex')
    expect(config).toBe('000a820910090000')
  })
})
