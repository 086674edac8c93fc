import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { failureOf, isPlaylist } from '../../player/engine/probe-source.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

describe('why a source is refused', () => {
  it.each([
    [404, { code: 'stream-not-live', message: 'stream-not-live: main' }, false, 'not-live'],
    [404, { code: 'object-not-found', message: 'object-not-found: a.mp4' }, false, 'not-found'],
    [404, undefined, true, 'not-live'],
    [403, undefined, false, 'forbidden'],
    [403, { code: 'media-encrypted', message: '' }, false, 'unsupported'],
    [415, { code: 'media-unsupported', message: 'media-unsupported: x' }, false, 'unsupported'],
    [422, { code: 'media-broken', message: '' }, false, 'unsupported'],
    [502, { code: 'store-denied', message: '' }, false, 'network'],
    [429, undefined, false, 'network'],
  ])('%i %o live=%s is %s', (status, body, live, kind) => {
    expect(failureOf(status, body, live).kind).toBe(kind)
  })
  it('shows the sentence without the code', () => {
    const body = { code: 'media-unsupported', message: 'media-unsupported: a.avi: AVI' }
    expect(failureOf(415, body, false).message).toBe('a.avi: AVI')
  })
  it('takes any answer, and keeps at most 300 characters of it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 999 }), fc.anything(), (status, body) => {
        expect(failureOf(status, body, false).message.length).toBeLessThanOrEqual(300)
      }),
      { numRuns: FUZZ_RUNS },
    )
  })
  it('knows a playlist by its name', () => {
    expect(isPlaylist('/live/a/index.m3u8?t=1')).toBe(true)
    expect(isPlaylist('/media/a.m3u8.mp4')).toBe(false)
  })
})
