import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CaptionScan, inOrder } from '../../server/codecs/closed-captions.ts'
import type { VideoTrack } from '../../server/codecs/track.ts'
import { ccData, pair, servicePacket, type Triplet, withSei } from '../support/captions.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const PICTURE = Buffer.from('0000000265880000000141', 'hex')

function trackOf(codec: VideoTrack['codec']): VideoTrack {
  const config = Buffer.alloc(23, 0xff)
  return {
    id: 1,
    kind: 'video',
    codec,
    codecString: 'test',
    timescale: 1000,
    config,
    language: 'und',
    width: 320,
    height: 180,
    pixelAspect: [1, 1],
    rotation: 0,
  }
}

function scan(codec: VideoTrack['codec'] = 'avc') {
  const found = new CaptionScan()
  found.follow(trackOf(codec))
  return found
}

function channelsOf(...triplets: readonly Triplet[]): readonly string[] {
  const found = scan()
  found.see(withSei('avc', PICTURE, ccData(...triplets)))
  return found.channels
}

const RESUME = 0x20
const ROLL_UP_2 = 0x25

describe('captions of CEA-608', () => {
  test.each<readonly [string, 0 | 1, number]>([
    ['CC1', 0, 0x14],
    ['CC2', 0, 0x1c],
    ['CC3', 1, 0x15],
    ['CC4', 1, 0x1d],
  ])('%s are told by the codes that begin one', (channel, field, code) => {
    expect(channelsOf([field, ...pair(code, RESUME)])).toEqual([channel])
    expect(channelsOf([field, ...pair(code, ROLL_UP_2)])).toEqual([channel])
  })

  test('are not told by padding, letters, text mode, data about the programme or what the parity refuses', () => {
    expect(
      channelsOf(
        [0, 0x80, 0x80],
        [0, ...pair(0x41, 0x42)],
        [0, ...pair(0x14, 0x2a)],
        [1, ...pair(0x01, 0x02)],
        [0, 0x14, 0x20 | 0x80],
      ),
    ).toEqual([])
  })

  test('that are not valid, or of data that is not to be processed, are passed over', () => {
    const payload = ccData([0, ...pair(0x14, RESUME)])
    const invalid = Buffer.from(payload)
    invalid[10] = 0xf8
    const off = Buffer.from(payload)
    off[8] = 0x81
    for (const bytes of [invalid, off]) {
      const found = scan()
      expect(found.see(withSei('avc', PICTURE, bytes))).toBe(false)
    }
  })
})

describe('services of CEA-708', () => {
  const text = [0x48, 0x49]

  test('are told by the blocks of a packet, whole or cut off by the picture, extended numbers too', () => {
    const packet = servicePacket(
      { service: 1, bytes: text },
      { service: 2, bytes: text },
      { service: 9, bytes: text },
    )
    expect(channelsOf(...packet)).toEqual(['SERVICE1', 'SERVICE2', 'SERVICE9'])
    expect(channelsOf(...packet.slice(0, 2))).toEqual(['SERVICE1'])
    expect(channelsOf(...packet.slice(1))).toEqual([])
  })

  test('are not told by null blocks, empty blocks or blocks longer than their packet', () => {
    expect(channelsOf(...servicePacket({ service: 0, bytes: [] }))).toEqual([])
    expect(channelsOf(...servicePacket({ service: 3, bytes: [] }))).toEqual([])
    expect(channelsOf([3, 0x02, 0x3f], [2, 1, 2])).toEqual([])
  })

  test('stand behind those of CEA-608, each once, at most 16', () => {
    expect(
      channelsOf(
        ...servicePacket({ service: 2, bytes: text }, { service: 1, bytes: text }),
        [1, ...pair(0x15, RESUME)],
        [0, ...pair(0x14, RESUME)],
        [0, ...pair(0x14, RESUME)],
      ),
    ).toEqual(['CC1', 'CC3', 'SERVICE1', 'SERVICE2'])
    const found = scan()
    for (let service = 1; service <= 63; service += 1) {
      const packet = servicePacket({ service: service === 7 ? 8 : service, bytes: text })
      found.see(withSei('avc', PICTURE, ccData(...packet)))
    }
    expect(found.channels).toHaveLength(16)
    expect(inOrder(['SERVICE10', 'SERVICE9', 'CC4', 'CC4'])).toEqual([
      'CC4',
      'SERVICE9',
      'SERVICE10',
    ])
  })
})

describe('pictures', () => {
  const payload = ccData([0, ...pair(0x14, RESUME)])

  test('of H.264 and HEVC are looked into, of other codecs not; a channel is news once', () => {
    for (const codec of ['avc', 'hevc'] as const) {
      const found = scan(codec)
      expect(found.see(PICTURE)).toBe(false)
      expect(found.see(withSei(codec, PICTURE, payload))).toBe(true)
      expect(found.see(withSei(codec, PICTURE, payload))).toBe(false)
      expect(found.channels).toEqual(['CC1'])
    }
    const other = scan('av1')
    expect(other.see(withSei('avc', PICTURE, payload))).toBe(false)
  })

  test('with other messages before the captions, and long ones, are read on', () => {
    const frame = withSei('avc', PICTURE, payload)
    const at = 5
    const timing = Buffer.concat([
      Buffer.from([1, 2, 0xaa, 0xbb]),
      Buffer.from([5, 255, 45]),
      Buffer.alloc(300, 7),
    ])
    const nal = Buffer.concat([Buffer.from([6]), timing, frame.subarray(at)])
    const end = frame.length - PICTURE.length - at
    nal.writeUInt8(6, 0)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(1 + timing.length + end)
    const found = scan()
    expect(found.see(Buffer.concat([length, nal]))).toBe(true)
  })

  test('of any bytes do nothing worse than to be passed over', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.uint8Array({ maxLength: 90 }),
        fc.constantFrom('avc' as const, 'hevc' as const),
        (bytes, rest, codec) => {
          const found = scan(codec)
          found.see(bytes)
          found.see(withSei(codec, PICTURE, Buffer.concat([payload.subarray(0, 8), rest])))
          found.see(withSei(codec, PICTURE, rest))
          for (const channel of found.channels)
            expect(channel).toMatch(/^(CC[1-4]|SERVICE([1-9]|[1-5]\d|6[0-3]))$/)
        },
      ),
      { numRuns: FUZZ_RUNS },
    )
  })
})
