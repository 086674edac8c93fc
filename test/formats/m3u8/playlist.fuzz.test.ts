import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readPlaylist } from '../../../server/formats/m3u8/read-playlist.ts'
import { hasCode } from '../../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../../support/fuzz-runs.ts'

const line = fc.oneof(
  fc.constantFrom(
    '#EXTM3U',
    '#EXT-X-MEDIA-SEQUENCE:7',
    '#EXTINF:1.5,',
    '#EXT-X-PART:DURATION=0.2,URI="a"',
    '#EXT-X-STREAM-INF:BANDWIDTH=1',
    '#EXT-X-SKIP:SKIPPED-SEGMENTS=9',
    '#EXT-X-MAP:URI="__proto__"',
  ),
  fc.string(),
)

test('no text makes the reader fail in another way than by refusing it', () => {
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        readPlaylist(`#EXTM3U\n${lines.join('\n')}`)
      } catch (error) {
        expect(hasCode(error, 'media-broken')).toBe(true)
      }
    }),
    { numRuns: FUZZ_RUNS },
  )
})
