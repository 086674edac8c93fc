import type { Clock } from '../lib/clock.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import type { StreamRegistry } from '../stream/registry.ts'
import { type Advice, adviceOn, conditionOf } from './health-advice.ts'
import { HealthMeter, type StreamMeasures } from './health-meter.ts'

export interface StreamHealth extends StreamMeasures {
  readonly condition: 'good' | 'fair' | 'poor'
  readonly advice: readonly Advice[]
}

export interface HealthWatch {
  /** Of the publisher that is on air; undefined when there is none. */
  of(name: string): StreamHealth | undefined
  all(): ReadonlyMap<string, StreamHealth>
  close(): void
}

/** Measures each stream of the registry while it is on air. */
export function watchHealth(registry: StreamRegistry, clock: Clock): HealthWatch {
  const watched = new Map<string, { stream: LiveStream; meter: HealthMeter; reading: Disposable }>()
  const forget = (stream: LiveStream) => {
    const known = watched.get(stream.name)
    if (known?.stream !== stream) return
    watched.delete(stream.name)
    known.reading[Symbol.dispose]()
  }
  const observing = registry.observe((stream) => {
    const former = watched.get(stream.name)
    if (former) forget(former.stream)
    const meter = new HealthMeter(clock.monotonic())
    const known = { stream, meter, reading: { [Symbol.dispose]: () => {} } }
    watched.set(stream.name, known)
    // Frames from before come all at once, which says nothing of how they arrived.
    known.reading = stream.addReader(
      {
        onTracks: (tracks) => meter.setTracks(tracks),
        onFrame: (frame) => meter.add(frame, clock.monotonic()),
        onEnd: () => forget(stream),
      },
      'now',
    )
  })
  const healthOf = ({ stream, meter }: { stream: LiveStream; meter: HealthMeter }) => {
    const measures = meter.measures(clock.monotonic())
    const sound = stream.tracks.find((track) => track.kind === 'audio')
    const advice = adviceOn(measures, sound?.sampleRate)
    return { ...measures, condition: conditionOf(advice), advice }
  }
  return {
    of: (name) => {
      const known = watched.get(name)
      return known && healthOf(known)
    },
    all: () => new Map([...watched].map(([name, known]) => [name, healthOf(known)])),
    close: () => {
      observing[Symbol.dispose]()
      for (const { stream } of watched.values()) forget(stream)
    },
  }
}
