import fc from 'fast-check'
import { test } from 'vitest'
import { FlvReader } from '../../../server/formats/flv/flv-reader.ts'
import { NearcastError } from '../../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../../support/fuzz-runs.ts'

const AVCC =
  '0164000dffe1001a6764000dacd941419f9f0110000003001000000303c0f142996001000668ebe3cb22c0fdf8f800'
const HEADS = ['', '1700000000', '1701000000', '2701000000', '9061766331', '9161766331000000', '97']
const AUDIO_HEADS = ['', 'af00', 'af01', '906d703461', '916d703461', '97']

const body = (heads: readonly string[]) =>
  fc
    .tuple(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 60 }))
    .map(([head, rest]) => Buffer.concat([Buffer.from(head, 'hex'), rest]))
const tag = fc.oneof(
  fc.record({ kind: fc.constant('video' as const), body: body([...HEADS, `1700000000${AVCC}`]) }),
  fc.record({ kind: fc.constant('audio' as const), body: body([...AUDIO_HEADS, 'af001190']) }),
)
const time = fc.integer({ min: 0, max: 2 ** 32 - 1 })

test('any tags at any times make frames of announced tracks with whole times, or are refused with a code', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(tag, time), { maxLength: 20 }), (tags) => {
      let announced: readonly number[] = []
      const reader = new FlvReader({
        onTracks: (tracks) => {
          announced = tracks.map((track) => track.id)
        },
        onFrame: (frame) => {
          if (!announced.includes(frame.trackId)) throw new Error('frame before its track')
          if (!Number.isSafeInteger(frame.dts) || !Number.isSafeInteger(frame.pts)) {
            throw new Error(`frame at ${frame.dts}`)
          }
        },
      })
      for (const [{ kind, body: bytes }, timestamp] of tags) {
        try {
          if (kind === 'video') reader.video(timestamp, bytes)
          else reader.audio(timestamp, bytes)
        } catch (error) {
          if (!(error instanceof NearcastError)) throw error
        }
      }
    }),
    { numRuns: FUZZ_RUNS },
  )
})
