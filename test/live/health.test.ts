import { describe, expect, test } from 'vitest'
import type { Frame } from '../../server/codecs/frame.ts'
import type { Track } from '../../server/codecs/track.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { type StreamHealth, watchHealth } from '../../server/live/health.ts'
import { measureHealth } from '../../server/live/health-metrics.ts'
import { StreamRegistry } from '../../server/stream/registry.ts'
import { FakeClock } from '../support/fake-clock.ts'

const VIDEO: Track = {
  id: 1,
  kind: 'video',
  codec: 'avc',
  codecString: 'avc1.64001f',
  timescale: 1000,
  config: new Uint8Array(),
  language: 'und',
  width: 1280,
  height: 720,
  pixelAspect: [1, 1],
  rotation: 0,
}
const AUDIO: Track = {
  id: 2,
  kind: 'audio',
  codec: 'aac',
  codecString: 'mp4a.40.2',
  timescale: 1000,
  config: new Uint8Array(),
  language: 'und',
  sampleRate: 48_000,
  channels: 2,
}
const PICTURE_BYTES = 10_000

interface Wish {
  readonly seconds: number
  readonly gopFrames?: number
  readonly bFrames?: boolean
  /** Milliseconds after its own time that the frame of this time arrives. */
  readonly late?: (ms: number) => number
  readonly lost?: (ms: number) => boolean
  readonly pictureMs?: (index: number) => number
  /** Samples a second that the sound really has. */
  readonly soundRate?: number
  /** The sound's own clock against the picture's. */
  readonly soundPace?: number
  readonly audio?: boolean
}

function framesOf(wish: Wish): readonly { frame: Frame; at: number }[] {
  const { seconds, gopFrames = 60, late = () => 0, lost = () => false } = wish
  const pictureMs = wish.pictureMs ?? ((index: number) => (index * 1000) / 30)
  const frames: { frame: Frame; ms: number; at: number }[] = []
  const add = (ms: number, frame: Omit<Frame, 'dts' | 'data'>, bytes: number, pace = 1) => {
    const dts = Math.round(ms * pace)
    const data = new Uint8Array(bytes)
    frames.push({ frame: { ...frame, dts, pts: dts + frame.pts, data }, ms, at: ms + late(ms) })
  }
  for (let i = 0; pictureMs(i) < seconds * 1000; i++) {
    const ms = pictureMs(i)
    const pts = wish.bFrames ? ([67, 133, 0, 0][i % 4] ?? 0) : 0
    if (!lost(ms)) add(ms, { trackId: 1, pts, key: i % gopFrames === 0 }, PICTURE_BYTES)
  }
  const soundMs = (1024 * 1000) / (wish.soundRate ?? 48_000)
  if (wish.audio !== false)
    for (let i = 0; i * soundMs < seconds * 1000; i++)
      add(i * soundMs, { trackId: 2, pts: 0, key: true }, 300, wish.soundPace)
  // One connection: nothing overtakes what was sent before.
  let before = 0
  return frames
    .toSorted((a, b) => a.ms - b.ms)
    .map(({ frame, at }) => {
      before = Math.max(before, at)
      return { frame, at: before }
    })
}

/** What is said of a stream that sent these frames. */
async function healthOf(wish: Wish): Promise<StreamHealth> {
  const clock = new FakeClock()
  const registry = new StreamRegistry(clock, systemRandom)
  const watch = watchHealth(registry, clock)
  const stream = registry.publish('main', {
    description: 'test',
    cut: () => {},
    mayPublish: () => true,
  })
  stream.setTracks(wish.audio === false ? [VIDEO] : [VIDEO, AUDIO])
  const began = clock.now()
  for (const { frame, at } of framesOf(wish)) {
    const wait = began + at - clock.now()
    if (wait > 0) await clock.advance(wait)
    stream.write(frame)
  }
  const health = watch.of('main')
  watch.close()
  if (!health) throw new Error('there is no health')
  return health
}

const codes = ({ advice }: StreamHealth) => advice.map(({ code }) => code)

describe('a healthy stream gets no advice', () => {
  test.each<[string, Wish]>([
    ['with key frames each two seconds', { seconds: 40 }],
    ['with B-frames', { seconds: 40, bFrames: true }],
    ['without sound', { seconds: 40, audio: false }],
    ['at 29.97 pictures a second', { seconds: 40, pictureMs: (i) => (i * 1001) / 30 }],
    ['at 60 pictures a second', { seconds: 30, gopFrames: 120, pictureMs: (i) => (i * 1000) / 60 }],
    ['over a line that jitters by 300 ms', { seconds: 40, late: (ms) => (ms * 7919) % 300 }],
    [
      'that stood still once for two seconds',
      { seconds: 40, late: (ms) => (ms > 20_000 && ms < 22_000 ? 22_000 - ms : 0) },
    ],
    ['that lost its picture once', { seconds: 40, lost: (ms) => ms > 20_000 && ms < 21_000 }],
    ['that has just begun', { seconds: 1 }],
  ])('%s', async (_, wish) => {
    const health = await healthOf(wish)
    expect(health.advice).toEqual([])
    expect(health.condition).toBe('good')
  })
})

describe('what is measured', () => {
  test('bitrate, frames a second, distance of key frames and B-frames are those of the stream', async () => {
    const health = await healthOf({ seconds: 40, bFrames: true })
    expect(health.framesPerSecond).toBeCloseTo(30, 1)
    expect(health.keyIntervalSeconds).toBeCloseTo(2, 2)
    expect(health.bFrames).toBe(true)
    expect((await healthOf({ seconds: 20 })).bFrames).toBe(false)
    // 30 pictures of 10,000 bytes and 46.9 sounds of 300 a second.
    expect((health.bitsPerSecond ?? 0) / 1e6).toBeCloseTo(2.51, 1)
  })

  test('jitter is what lies between the earliest and the latest arrival', async () => {
    expect((await healthOf({ seconds: 30 })).jitterMs).toBeLessThan(5)
    const late = (ms: number) => (Math.floor(ms) % 200 < 40 ? 80 : 0)
    expect((await healthOf({ seconds: 30, late })).jitterMs).toBeCloseTo(80, -1)
  })
})

describe('advice in words', () => {
  test('an untouched OBS is told which setting makes viewers wait less', async () => {
    const health = await healthOf({ seconds: 40, gopFrames: 250, bFrames: true })
    expect(health.condition).toBe('fair')
    expect(health.advice).toEqual([
      {
        code: 'key-frames-rare',
        weight: 'hint',
        sentence:
          'In OBS, set Settings → Output → Keyframe Interval to 1 s: viewers now wait up to 8.3 s for a picture where the stream is not encoded again.',
      },
    ])
  })

  test('an upload that is slower than the stream is called so, with a bitrate that would fit', async () => {
    const health = await healthOf({ seconds: 40, late: (ms) => ms * 0.1 })
    expect(codes(health)).toEqual(['upload-slow'])
    expect(health.condition).toBe('poor')
    expect(health.advice[0]?.sentence).toMatch(/below 1\d00 kbit\/s/)
  })

  test('holes in the picture are counted, with about how many frames they lack', async () => {
    const lost = (ms: number) => ms > 15_000 && ms % 5000 < 500
    const health = await healthOf({ seconds: 40, lost })
    expect(codes(health)).toEqual(['frames-missing'])
    expect(health.gaps).toBeGreaterThanOrEqual(4)
    expect(health.missingFrames / health.gaps).toBeCloseTo(15, -1)
  })

  test('sound that comes at another rate than it says is named with both', async () => {
    const health = await healthOf({ seconds: 40, soundRate: 44_100 })
    expect(codes(health)).toEqual(['sound-rate-wrong'])
    expect(health.advice[0]?.sentence).toContain('says 48.0 kHz but comes at 44.1 kHz')
  })

  test('sound whose clock goes another way than the picture’s drifts', async () => {
    const health = await healthOf({ seconds: 60, soundPace: 0.99 })
    expect(codes(health)).toEqual(['sound-drifts'])
    expect(Math.abs(health.driftMs ?? 0)).toBeGreaterThan(150)
  })

  test('pictures at distances that vary are told apart from a constant frame rate', async () => {
    const pictureMs = (i: number) => Math.floor(i / 3) * 100 + ([0, 16, 50][i % 3] ?? 0)
    expect(codes(await healthOf({ seconds: 40, pictureMs }))).toEqual(['frame-rate-varies'])
  })
})

test('times that begin anew are not taken for a line that became slow', async () => {
  const clock = new FakeClock()
  const registry = new StreamRegistry(clock, systemRandom)
  const watch = watchHealth(registry, clock)
  const stream = registry.publish('main', {
    description: 'test',
    cut: () => {},
    mayPublish: () => true,
  })
  stream.setTracks([VIDEO])
  for (let i = 0; i < 1200; i++) {
    const dts = (i < 600 ? i : i - 600) * 40
    stream.write({ trackId: 1, dts, pts: dts, key: i % 25 === 0, data: new Uint8Array(10) })
    await clock.advance(40)
  }
  expect(watch.of('main')?.advice).toEqual([])
  watch.close()
})

test('Prometheus has a value for each stream on air, and none when it has ended', async () => {
  const clock = new FakeClock()
  const registry = new StreamRegistry(clock, systemRandom)
  const watch = watchHealth(registry, clock)
  const metrics = new Metrics()
  measureHealth(metrics, watch)
  const stream = registry.publish('main', {
    description: 'test',
    cut: () => {},
    mayPublish: () => true,
  })
  expect(await metrics.text()).toContain('nearcast_stream_condition{stream="main"} 0')
  stream.end('lost')
  expect(await metrics.text()).not.toContain('stream="main"')
  expect(watch.of('main')).toBeUndefined()
  watch.close()
})
