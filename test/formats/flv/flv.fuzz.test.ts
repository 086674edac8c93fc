import fc from 'fast-check'
import { test } from 'vitest'
import { FlvReader } from '../../../server/formats/flv/flv-reader.ts'
import { NearcastError } from '../../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../../support/fuzz-runs.ts'

const AVCC =
  '0164000dffe1001a6764000dacd941419f9f0110000003001000000303c0f142996001000668ebe3cb22c0fdf8f800'
const HVCC =
  '0102200000009000000000003cf000fcfdfafa00000f01a10001002e42010102200000030090000003000003003ca00a080c1f3b6595952930bc39a848804820000003002000000' +
  '30321'
const HEADS = `1700000000 1701000000 2701000000 9061766331 9161766331000000 97 d000
9068766331${HVCC} 916876633100000000000002 906176303181000c000a0b000000043cfeccdaf90040
9161763031 9076703039000a820202020000 917670303982498342 9461766331 9261766331
96006176633101 96106176633100 9621 a6016176633101 970000009761 9261763031`.split(/\s/)
const AUDIO_HEADS = `af00 af01 906d703461 916d703461 97 2f 2ffffb9064 912e6d7033fffb9064
904f7075734f70757348656164 914f707573 90664c614380000022 91664c6143fff8
9161632d330b770000 9165632d330b77 9501 95004f70757303 9511 9521 92664c6143`.split(/\s/)

const body = (heads: readonly string[]) =>
  fc
    .tuple(fc.constantFrom('', ...heads), fc.uint8Array({ maxLength: 60 }))
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
