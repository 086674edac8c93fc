import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Frame } from '../../../server/codecs/frame.ts'
import {
  FLV_TAG,
  flvConfigBody,
  flvFileHeader,
  flvFileTag,
  flvFrameBody,
} from '../../../server/formats/flv/write-tags.ts'
import { FlvFileReader } from '../../../server/formats/flv/flv-file-reader.ts'
import { NearcastError } from '../../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../../support/fuzz-runs.ts'
import { makeLiveMedia } from '../../support/live-media.ts'

const MEDIA = await makeLiveMedia({ seconds: 1, gop: 10 })
const typeOf = (kind: 'video' | 'audio') => (kind === 'video' ? FLV_TAG.video : FLV_TAG.audio)
const FILE = Buffer.concat([
  flvFileHeader(MEDIA.tracks),
  ...MEDIA.tracks.map((track) =>
    flvFileTag(typeOf(track.kind), 0, flvConfigBody(track) ?? Buffer.alloc(0)),
  ),
  ...MEDIA.frames.map((frame) => {
    const track = MEDIA.tracks.find(({ id }) => id === frame.trackId)
    const body = track && flvFrameBody(track, frame)
    return flvFileTag(typeOf(track?.kind ?? 'video'), frame.dts, body ?? Buffer.alloc(0))
  }),
])

function read(pieces: readonly Buffer[]): readonly Frame[] {
  const frames: Frame[] = []
  const reader = new FlvFileReader({ onTracks: () => {}, onFrame: (frame) => frames.push(frame) })
  for (const piece of pieces) reader.push(piece)
  return frames
}

test('a file is read the same however it is cut into pieces', () => {
  expect(read([FILE])).toEqual(MEDIA.frames)
  fc.assert(
    fc.property(fc.array(fc.nat(FILE.length), { maxLength: 40 }), (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), FILE.length]
      const pieces = at.slice(1).map((end, i) => FILE.subarray(at[i], end))
      expect(read(pieces)).toEqual(MEDIA.frames)
    }),
    { numRuns: 30 },
  )
})

test('damaged bytes are frames or an error with a code, never another one', () => {
  const change = fc.tuple(fc.nat(2000), fc.nat(255))
  fc.assert(
    fc.property(fc.array(change, { maxLength: 6 }), fc.nat(FILE.length), (changes, length) => {
      const bytes = Buffer.from(FILE.subarray(0, length))
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
      try {
        read([bytes])
      } catch (error) {
        expect(error).toBeInstanceOf(NearcastError)
      }
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('a file is complete behind each of its tags, and nowhere between', () => {
  const reader = new FlvFileReader({ onTracks: () => {}, onFrame: () => {} })
  reader.push(FILE.subarray(0, FILE.length - 1))
  expect(reader.complete).toBe(false)
  reader.push(FILE.subarray(FILE.length - 1))
  expect(reader.complete).toBe(true)
})

test('what begins otherwise is no FLV', () => {
  expect(() => read([Buffer.from('this is no FLV')])).toThrow('does not begin as FLV')
})
