import * as z from 'zod'
import type { LogLevel } from './lib/log.ts'

/** What a worker needs to begin: sent once, when it listens to messages. */
export interface WorkerOrder {
  readonly slot: number
  /** Where its parent is: the main process behind a socket, or the parent of an edge. */
  readonly parent: {
    readonly url: string
    readonly token: string
    readonly socketPath?: string | undefined
  }
  readonly edgeId: string
  readonly http: { readonly host: string; readonly port: number }
  readonly memoryBytes: number
  readonly sliceBytes: number
  readonly log: { readonly level: LogLevel; readonly access: string | undefined }
  /** Changes up to here are applied before it listens. */
  readonly seq: number
}

/** What only a worker knows: it has the cache. */
export type Question =
  | { readonly kind: 'explain'; readonly url: string }
  | {
      readonly kind: 'preview'
      readonly names: { readonly distribution: string; readonly paths: readonly string[] }
      readonly examples: number
    }

export type ToWorker =
  | { readonly kind: 'begin'; readonly order: WorkerOrder }
  | { readonly kind: 'ask'; readonly id: number; readonly question: Question }
  /** At another worker an unsafe request changed this path. */
  | { readonly kind: 'forget'; readonly distribution: string; readonly path: string }
  | { readonly kind: 'drain' }

const METRICS_MAX = 300
const NAME_CHARS_MAX = 1000
/** A header has no room for a longer one; in another spelling it may be three times as long. */
const PATH_CHARS_MAX = 3 * 32 * 1024
const STREAMS_MAX = 2000
const amount = z.number().min(-Number.MAX_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER)
const metric = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]{0,99}$/),
  help: z.string().max(500),
  kind: z.enum(['counter', 'gauge']),
  value: amount,
})

const fromWorker = z.discriminatedUnion('kind', [
  /** It can be told what to do: what was said before is lost. */
  z.strictObject({ kind: z.literal('listening') }),
  z.strictObject({ kind: z.literal('serving'), port: z.int().min(1).max(65_535) }),
  z.strictObject({
    kind: z.literal('failed'),
    code: z.string().max(50),
    sentence: z.string().max(2000),
  }),
  /** An unsafe request changed this path: what others hold of it is old. */
  z.strictObject({
    kind: z.literal('forgot'),
    distribution: z.string().max(NAME_CHARS_MAX),
    path: z.string().max(PATH_CHARS_MAX),
  }),
  z.strictObject({ kind: z.literal('applied'), seq: z.int().min(0) }),
  z.strictObject({
    kind: z.literal('facts'),
    metrics: z.array(metric).max(METRICS_MAX),
    cache: z.record(z.string().max(50), amount),
    /** About how many watch each live stream through this worker. */
    viewers: z.record(z.string().max(200), amount),
  }),
  z.strictObject({
    kind: z.literal('answered'),
    id: z.int().min(0),
    answer: z.record(z.string(), z.unknown()).optional(),
    code: z.string().max(50).optional(),
    sentence: z.string().max(2000).optional(),
  }),
])

export type FromWorker = Readonly<z.output<typeof fromWorker>>
export type WorkerFacts = Extract<FromWorker, { kind: 'facts' }>

/** A message of a worker's; undefined when it is none, or larger than any is. */
export function readFromWorker(message: unknown): FromWorker | undefined {
  const parsed = fromWorker.safeParse(message)
  if (!parsed.success) return undefined
  if (parsed.data.kind !== 'facts') return parsed.data
  return Object.keys(parsed.data.viewers).length <= STREAMS_MAX ? parsed.data : undefined
}
