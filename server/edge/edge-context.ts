import type { Cache } from '../cache/cache.ts'
import type { ChangeStamp, StoredObject } from '../cache/stored-object.ts'
import type { Distribution } from '../distribution/types.ts'
import type { Origin } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { CountingMetric, Metrics } from '../lib/metrics.ts'
import type { Random } from '../lib/random.ts'
import type { AccessRecord } from './access-record.ts'
import type { Changes, Invalidations } from './decide.ts'
import type { Flights } from './flights.ts'
import type { Exchange } from './match-request.ts'

/** What the edge must know now: the fold of the change log. Read once for each decision. */
export interface EdgeState {
  /** A new array whenever something in it changed. */
  readonly distributions: readonly Distribution[]
  readonly invalidations: Invalidations
  /** Where the log stands: `EPOCH:SEQ`, and the number alone. */
  readonly position: string
  readonly seq: number
}

export interface EdgeDeps {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly cache: Cache
  /** Name of this edge location. */
  readonly edgeId: string
  readonly state: () => EdgeState
  readonly origins: (id: string) => Origin | undefined
  /** Told of each path that an unsafe request changed, for edges that share an origin with this one. */
  readonly onForgotten?: ((distribution: string, path: string) => void) | undefined
  readonly accessLog?: ((record: AccessRecord) => void) | undefined
  readonly random?: Random | undefined
  /** A viewer that takes no byte for so long is cut, in milliseconds. */
  readonly stuckMs?: number | undefined
}

/** What the parts of an edge share. */
export interface EdgeContext {
  readonly deps: EdgeDeps
  readonly flights: Flights
  /** Told of each object that a viewer was given. */
  readonly prefetch: { served(exchange: Exchange, object: StoredObject): void }
  readonly counters: EdgeCounters
  readonly changes: () => Changes
  readonly stamp: () => ChangeStamp
  /** RFC 9111 §4.4: an unsafe request succeeded, so what this edge holds of the path is old. */
  forget(distribution: string, path: string): void
}

export interface EdgeCounters {
  readonly requests: CountingMetric
  readonly hits: CountingMetric
  readonly misses: CountingMetric
  readonly errors: CountingMetric
  readonly bytes: CountingMetric
}
