import * as z from 'zod'
import type { OriginDefaults } from '../distribution/schema.ts'
import type { ControlSnapshot } from '../distribution/control-state.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import type { ChangeLog } from './change-log.ts'
import type { ControlServices } from './services.ts'

/** What the routes work with. */
export interface ApiContext {
  readonly version: string
  readonly changes: ChangeLog
  /** Fold of the log over the configuration, as it is now. */
  readonly state: () => ControlSnapshot
  readonly services: ControlServices
  /** Where options that an origin leaves out come from. */
  readonly originDefaults: OriginDefaults
  /** Where relative folders of origins begin. */
  readonly originFolder: string
  /** Origins that the configuration reads or writes by key, so they must be s3 or file. */
  readonly stores: readonly string[]
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface RouteInput<Body> {
  /** Parts of the path in braces, decoded. */
  readonly params: Readonly<Record<string, string>>
  /** Query parameters the route names, decoded; '' when absent. */
  readonly query: Readonly<Record<string, string>>
  readonly body: Body
  /** Aborted when the asker has gone. */
  readonly signal: AbortSignal
}

/** One row of the API: what it answers to, what it says of itself, and what it does. `openapi.json` is made of these. */
export interface Route<Body = unknown> {
  readonly method: 'get' | 'post' | 'put' | 'delete'
  /** Below `/api/v1`, with parameters in braces. */
  readonly path: string
  readonly summary: string
  /** Query parameters and what they mean. */
  readonly query?: Readonly<Record<string, string>>
  /** The JSON body it takes. */
  readonly body?: z.ZodType<Body>
  /** Status of success; 204 answers nothing. */
  readonly status: 200 | 201 | 204
  /** Where it depends on what was asked. */
  readonly statusFor?: (body: Body) => 200 | 201
  readonly run: (context: ApiContext, input: RouteInput<Body>) => unknown
}

/** A row whose body has the type of its schema. */
export function route<Body = undefined>(row: Route<Body>): Route {
  // The body reaches `run` only after its schema accepted it.
  return row as unknown as Route
}
