import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { CountingMetric } from '../lib/metrics.ts'
import type { StreamRegistry } from '../stream/registry.ts'
import type { Admission } from './admission.ts'
import type { OpenPlay } from './play-source.ts'
import type { PublishGate } from './publish-gate.ts'
import type { SessionLimits } from './session-state.ts'

/** What a session works with; its listener gives all sessions the same. */
export interface SessionDeps {
  readonly registry: StreamRegistry
  readonly gate: PublishGate
  /** Asked after the gate. */
  readonly admission?: Admission | undefined
  readonly openPlay: OpenPlay
  readonly clock: Clock
  readonly log: Log
  readonly limits: SessionLimits
  readonly counters: {
    readonly bytesIn: CountingMetric
    readonly refused: CountingMetric
    readonly droppedFrames: CountingMetric
  }
  onClosed(): void
}
