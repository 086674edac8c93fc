import type { Frame } from '../../server/codecs/frame.ts'
import { type RtmpListenerDeps, startRtmpListener } from '../../server/ingest/rtmp-listener.ts'
import { createKeyResolver } from '../../server/ingest/stream-keys.ts'
import { systemClock } from '../../server/lib/clock.ts'
import type { Log, LogFields } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { systemRandom } from '../../server/lib/random.ts'
import type { LiveStream, StreamEnd } from '../../server/stream/live-stream.ts'
import { StreamRegistry } from '../../server/stream/registry.ts'
import type { RtmpClient } from '../support/rtmp-client.ts'

export const KEY = 'secret-key-of-main'

/** One stream as a test watches it. */
export interface Watched {
  readonly stream: LiveStream
  readonly frames: Frame[]
  end: StreamEnd | undefined
}

/** A listener on a free port whose streams and log lines a test can look at. */
export async function startTestListener(deps: Partial<RtmpListenerDeps> = {}) {
  const clock = deps.clock ?? systemClock
  const registry = new StreamRegistry(clock, systemRandom)
  const watched: Watched[] = []
  const lines: { readonly level: string; readonly text: string }[] = []
  registry.observe((stream) => {
    const one: Watched = { stream, frames: [], end: undefined }
    watched.push(one)
    stream.addReader({
      onTracks: () => {},
      onFrame: (frame) => {
        one.frames.push(frame)
        wake()
      },
      onEnd: (reason) => {
        one.end = reason
        wake()
      },
    })
  })
  const listener = await startRtmpListener({
    host: '127.0.0.1',
    port: 0,
    registry,
    resolveKey: createKeyResolver(() => [
      { name: 'main', key: KEY },
      { name: 'second', key: 'another-key' },
    ]),
    publishAuth: 'keys',
    clock,
    log: collectingLog((level, text) => {
      lines.push({ level, text })
      wake()
    }),
    metrics: new Metrics(),
    ...deps,
  })
  return { ...listener, registry, watched, lines }
}

function collectingLog(add: (level: string, text: string) => void, given: LogFields = {}): Log {
  const line = (level: string) => (message: string, fields?: LogFields) =>
    add(level, `${message} ${JSON.stringify({ ...given, ...fields })}`)
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    with: (fields) => collectingLog(add, { ...given, ...fields }),
  }
}

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** FLV tag bodies: x264's avcC of a 320x180 picture, AAC-LC 48 kHz stereo. */
export const VIDEO_HEADER = hex(
  '17 00 000000 0164000dffe1001a6764000dacd941419f9f0110000003001000000303c0f142996001000668ebe3cb22c0fdf8f800',
)
export const AUDIO_HEADER = hex('af 00 1190')
export const SOUND = hex('af 01 21 10')

/** The tag of a picture of `bytes` bytes, filled with `fill`. */
export function picture(key: boolean, bytes = 16, fill = 1): Buffer {
  const unit = Buffer.alloc(bytes, fill)
  unit[0] = key ? 0x65 : 0x41
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes)
  return Buffer.concat([hex(key ? '17 01 000000' : '27 01 000000'), length, unit])
}

export function sendHeaders(publisher: RtmpClient): void {
  publisher.send(8, AUDIO_HEADER)
  publisher.send(9, VIDEO_HEADER)
}

const waiters = new Set<() => void>()

function wake(): void {
  const woken = [...waiters]
  waiters.clear()
  for (const resolve of woken) resolve()
}

/** Looks again after each frame, end and log line of any test listener. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((resolve) => waiters.add(resolve))
}
