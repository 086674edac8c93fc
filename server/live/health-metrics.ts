import type { Metrics } from '../lib/metrics.ts'
import type { HealthWatch, StreamHealth } from './health.ts'

type Row = readonly [
  name: string,
  help: string,
  value: (health: StreamHealth) => number | undefined,
]

const CONDITIONS = { good: 0, fair: 1, poor: 2 } as const
const ROWS: readonly Row[] = [
  [
    'condition',
    'How a stream is: 0 good, 1 fair, 2 poor.',
    ({ condition }) => CONDITIONS[condition],
  ],
  [
    'in_bits_per_second',
    'What a publisher sends, over ten seconds.',
    (health) => health.bitsPerSecond,
  ],
  ['frames_per_second', 'Pictures a second.', (health) => health.framesPerSecond],
  [
    'key_interval_seconds',
    'The longest of the last distances between key frames.',
    (health) => health.keyIntervalSeconds,
  ],
  [
    'drift_seconds',
    'By how much sound moved against picture since the publish.',
    ({ driftMs }) => inSeconds(driftMs),
  ],
  ['gaps', 'Holes in the picture within the last minute.', (health) => health.gaps],
  [
    'missing_frames',
    'Pictures missing in the holes of the last minute, about.',
    (health) => health.missingFrames,
  ],
  [
    'jitter_seconds',
    'Between the earliest and the latest arrival of ten seconds.',
    ({ jitterMs }) => inSeconds(jitterMs),
  ],
  [
    'lag_seconds',
    'By how much frames come later than within the last minute.',
    ({ lagMs }) => inSeconds(lagMs),
  ],
]

/** Prometheus: `nearcast_stream_…{stream="NAME"}` for each stream that is on air. */
export function measureHealth(metrics: Metrics, watch: HealthWatch): void {
  for (const [name, help, value] of ROWS)
    metrics.gaugeOf(`nearcast_stream_${name}`, help, 'stream', () =>
      [...watch.all()].flatMap(([stream, health]) => {
        const amount = value(health)
        return amount === undefined ? [] : [[stream, amount] as const]
      }),
    )
}

function inSeconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000
}
