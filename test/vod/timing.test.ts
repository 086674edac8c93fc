import { describe, expect, it } from 'vitest'
import type { MovieTrack } from '../../server/formats/isobmff/read-movie.ts'
import { expandSamples, type SampleTable } from '../../server/formats/isobmff/sample-table.ts'
import { finish } from '../../server/lib/in-turns.ts'
import { parseVodAddress } from '../../server/vod/address.ts'
import { segmentTimes, timingOf, visibleSpan } from '../../server/vod/play-track.ts'

/** Ten samples of 100 ticks; decoding order I P B B P B B I P B, or all alike for sound. */
function track(handler: 'vide' | 'soun', edit: Partial<MovieTrack['edit']> = {}) {
  const samples: SampleTable = {
    count: 10,
    sizes: 8,
    times: { first: Uint32Array.of(0), time: Float64Array.of(0), delta: Uint32Array.of(100) },
    chunks: { first: Uint32Array.of(0), offset: Float64Array.of(0), description: undefined },
    compositions:
      handler === 'vide'
        ? Int32Array.of(200, 400, 100, 100, 400, 100, 100, 200, 300, 100)
        : undefined,
    keys: handler === 'vide' ? Uint32Array.of(0, 7) : undefined,
  }
  const source: MovieTrack = {
    id: 1,
    handler,
    enabled: true,
    timescale: 1000,
    language: 'und',
    rotation: 0,
    edit: { delay: 0, start: 0, end: Number.POSITIVE_INFINITY, ...edit },
    descriptions: [{ kind: 'refused', code: 'media-broken', name: '', reason: '' }],
    samples,
  }
  return { source, samples }
}

function shown(handler: 'vide' | 'soun', edit: Partial<MovieTrack['edit']> = {}) {
  const { source, samples } = track(handler, edit)
  const visible = finish(visibleSpan(source, samples))
  if (visible === undefined) throw new Error('nothing is visible')
  const timing = finish(timingOf(source, samples, visible, visible.startSeconds))
  const span = expandSamples(samples, visible.first, visible.end)
  const times = segmentTimes(timing, span, visible.first)
  let decode = times.baseDecodeTime
  const presented = times.durations.map((duration, i) => {
    const at = decode + (times.compositions[i] ?? 0) - timing.mediaTime
    decode += duration
    return at
  })
  return { visible, timing, times, presented }
}

describe('times in segments', () => {
  it('begin with a key frame whose decode time is its presentation time', () => {
    const { times, presented, timing } = shown('vide', { start: 200 })
    expect(times.baseDecodeTime).toBe(0)
    expect(presented.slice(0, 4)).toEqual([0, 300, 100, 200])
    expect(Math.min(...times.compositions)).toBeGreaterThanOrEqual(0)
    expect(timing.mediaTime).toBe(100)
  })

  it('leave out what the edit list ends before', () => {
    expect(shown('vide', { start: 200, end: 600 }).visible).toMatchObject({ first: 0, end: 4 })
    const { source, samples } = track('vide', { start: 5000, end: 4000 })
    expect(finish(visibleSpan(source, samples))).toBeUndefined()
  })

  it('show the pictures before an edit all within a millisecond', () => {
    // The edit starts at 500: I, P, B, B at 200, 500, 300, 400 are before it, or it.
    const { presented, timing, times } = shown('vide', { start: 500 })
    const milliseconds = presented.map((ticks) => (ticks / timing.timescale) * 1000)
    expect(milliseconds.slice(0, 4).every((ms) => ms >= 0 && ms <= 1)).toBe(true)
    expect(new Set(presented).size).toBe(presented.length)
    // P is at 800 and B, B at 600 and 700: 300, 100 and 200 ms after the edit's start, and that millisecond.
    expect(milliseconds.slice(4, 7)).toEqual([301, 101, 201])
    expect(Math.min(...times.compositions, ...times.durations)).toBeGreaterThanOrEqual(0)
  })

  it('keep one frame of sound before an edit for the decoder, and tell players to drop it', () => {
    const { visible, timing, presented } = shown('soun', { start: 512 })
    expect(visible.first).toBe(4)
    expect(timing.mediaTime).toBe(112)
    expect(presented[0]).toBe(-112)
  })

  it('wait as long as an empty edit says', () => {
    const { source, samples } = track('soun', { delay: 250 })
    const visible = finish(visibleSpan(source, samples))
    if (visible === undefined) throw new Error('nothing is visible')
    expect(visible.startSeconds).toBe(0.25)
    const offsetFrom = (origin: number) =>
      finish(timingOf(source, samples, visible, origin)).decodeOffset
    expect([offsetFrom(0), offsetFrom(0.25)]).toEqual([250, 0])
  })
})

describe('addresses', () => {
  it('are a key and what is wanted of it', () => {
    expect(parseVodAddress('/vod/a/b%20c.mp4/index.m3u8')).toEqual({
      kind: 'master',
      key: 'a/b c.mp4',
    })
    const base = { key: 'a.mp4', hash: '0123456789abcdef', rendition: 'main' }
    const under = (name: string) => parseVodAddress(`/vod/a.mp4/0123456789abcdef/${name}`)
    expect(under('main.m3u8')).toEqual({ kind: 'playlist', ...base })
    expect(under('main.mp4')).toEqual({ kind: 'init', ...base, description: 0 })
    expect(under('main.d3.mp4')).toEqual({ kind: 'init', ...base, description: 3 })
    expect(under('main-12.m4s')).toEqual({ kind: 'segment', ...base, segment: 12 })
    expect(under('main-12.mp4')).toBeUndefined()
    expect(parseVodAddress('/vod/index.m3u8')).toBeUndefined()
    expect(parseVodAddress('/a.mp4/index.m3u8')).toEqual({ kind: 'master', key: 'a.mp4' })
  })
})
