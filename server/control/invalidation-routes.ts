import * as z from 'zod'
import type { Change } from '../distribution/change.ts'
import { UNDO_MS } from '../distribution/invalidation-index.ts'
import { NearcastError } from '../lib/errors.ts'
import { readableToken } from '../lib/random.ts'
import { followsParent } from './follower-log.ts'
import { type ApiContext, type Route, route } from './route.ts'

// CloudFront's: absolute, `*` only as the last character, at most 4000 characters, 3000 at once; a tag is visible ASCII without
// commas and stands behind `#`.
const PATH = /^(?:\/[^\s*\p{Cc}]{0,3998}\*?|#[!-+\--~]{1,256})$/u
const TAG = /^[!-+\--~]{1,256}$/
const PATHS_MAX = 3000
const LISTED_MAX = 200
const EXAMPLES = 10
const EXAMPLES_MAX = 1000
const ID_LENGTH = 14

/** What is taken out of the caches before its time, and how far that has come. */
export const invalidationRoutes: readonly Route[] = [
  route({
    method: 'post',
    path: '/invalidations',
    summary:
      'Make every edge fetch anew what these paths and tags name, or say what that would take',
    body: z.strictObject({
      paths: z
        .array(
          z.string().regex(PATH).meta({
            expected:
              'a path that starts with /, has * only at its end and is at most 4000 long, or a tag behind #',
          }),
        )
        .max(PATHS_MAX)
        .default([])
        .meta({
          expected: `a list of at most ${PATHS_MAX} paths`,
          description: 'What to remove; a path may end in *, #tag is a tag.',
        }),
      tags: z
        .array(
          z
            .string()
            .regex(TAG)
            .meta({ expected: 'a tag of 1 to 256 visible characters without comma' }),
        )
        .max(PATHS_MAX)
        .default([])
        .meta({
          expected: `a list of at most ${PATHS_MAX} tags`,
          description: 'The same as #tag among the paths.',
        }),
      distribution: z
        .string()
        .regex(/^(?:\*|[A-Za-z0-9][\w-]{0,63})$/)
        .default('*')
        .meta({ expected: 'the id of a distribution', description: 'Its id; * for all.' }),
      soft: z.boolean().default(false).meta({
        expected: 'true or false',
        description: 'What is stored becomes stale: asked for anew, and served where stale is.',
      }),
      dryRun: z.boolean().default(false).meta({
        expected: 'true or false',
        description: 'Only say what would go at this edge; answers 200.',
      }),
      examples: z
        .int()
        .min(0)
        .max(EXAMPLES_MAX)
        .default(EXAMPLES)
        .meta({
          expected: `a number from 0 to ${EXAMPLES_MAX}`,
          description: 'How many paths a dry run names.',
        }),
    }),
    status: 201,
    statusFor: ({ dryRun }) => (dryRun ? 200 : 201),
    run: async (context, { body, signal }) => {
      const { distribution, soft } = body
      const paths = [...body.paths, ...body.tags.map((tag) => `#${tag}`)]
      if (paths.length === 0 || paths.length > PATHS_MAX)
        throw new NearcastError(
          'bad-request',
          `paths and tags: 1 to ${PATHS_MAX} together, got ${paths.length}`,
        )
      const known = context.state().distributions.some(({ id }) => id === distribution)
      if (distribution !== '*' && !known)
        throw new NearcastError('not-found', `there is no distribution ${distribution}`)
      const roots = paths.some(isRoot) ? rootObjects(context, distribution) : []
      const names = { distribution, paths: [...paths, ...roots] }
      if (body.dryRun) {
        const { examples } = body
        const preview = await context.services.previewInvalidation(names, { examples, signal })
        return { dryRun: true, ...names, ...preview }
      }
      return make(context, names, soft)
    },
  }),
  route({
    method: 'get',
    path: '/invalidations',
    summary: `The newest ${LISTED_MAX} invalidations`,
    status: 200,
    run: (context) => {
      const undone = undosOf(context)
      return {
        invalidations: invalidationsOf(context)
          .slice(-LISTED_MAX)
          .toReversed()
          .map((change) => reportOf(context, change, undone.get(change.seq))),
      }
    },
  }),
  route({
    method: 'get',
    path: '/invalidations/{id}',
    summary: 'One invalidation, and which edges have applied it',
    status: 200,
    run: (context, { params }) => {
      const change = findInvalidation(context, params['id'] ?? '')
      return reportOf(context, change, undosOf(context).get(change.seq))
    },
  }),
  route({
    method: 'post',
    path: '/invalidations/{id}/undo',
    summary: `Make valid again what it took and is still stored; within ${UNDO_MS / 1000} s`,
    status: 200,
    run: (context, { params }) => undo(context, params['id'] ?? ''),
  }),
]

function isRoot(path: string): boolean {
  return path === '/' || path.startsWith('/?')
}

/** What `/` is stored as, where it is not itself. */
function rootObjects({ state }: ApiContext, distribution: string): readonly string[] {
  const roots = state().distributions.flatMap((one) =>
    one.kind === 'web' && one.defaultRootObject !== '' && ['*', one.id].includes(distribution)
      ? [`/${one.defaultRootObject}`]
      : [],
  )
  return [...new Set(roots)]
}

type Invalidation = Extract<Change, { kind: 'invalidation' }>
type Undo = Extract<Change, { kind: 'invalidation-undo' }>

async function make(
  context: ApiContext,
  names: { readonly distribution: string; readonly paths: readonly string[] },
  soft: boolean,
) {
  const { changes, random, log } = context
  const id = `i${readableToken(random, ID_LENGTH)}`
  const made = { kind: 'invalidation', id, ...names, ...(soft && { soft }) } as const
  const change = await changes.append(made)
  const { distribution, paths } = names
  log.info('invalidation', { id, distribution, soft, paths: paths.length, first: paths[0] })
  if (change.kind !== 'invalidation') throw new NearcastError('internal', 'not an invalidation')
  return reportOf(context, change, undefined)
}

async function undo(context: ApiContext, id: string) {
  const { changes, clock, log } = context
  const change = findInvalidation(context, id)
  const { seq, distribution, paths, at } = change
  const refused = (why: string) => new NearcastError('conflict', `invalidation ${id} ${why}`)
  if (undosOf(context).has(seq)) throw refused('is undone already')
  const age = clock.now() - at
  if (age > UNDO_MS)
    throw refused(
      `was made ${Math.round(age / 1000)} s ago; it can be undone for ${UNDO_MS / 1000} s`,
    )
  const undone = await changes.append({
    kind: 'invalidation-undo',
    id,
    of: seq,
    distribution,
    paths,
  })
  log.info('invalidation undone', { id })
  return reportOf(context, change, undone)
}

function invalidationsOf({ changes }: ApiContext): readonly Invalidation[] {
  return (changes.since(0) ?? []).filter((change) => change.kind === 'invalidation')
}

function findInvalidation({ changes }: ApiContext, id: string): Invalidation {
  // An edge keeps no list of what it was told.
  if (changes.parent !== undefined) throw followsParent(changes.parent)
  for (const change of (changes.since(0) ?? []).toReversed())
    if (change.kind === 'invalidation' && change.id === id) return change
  throw new NearcastError('not-found', `there is no invalidation ${id}`)
}

/** By the number of what they undid. */
function undosOf({ changes }: ApiContext): ReadonlyMap<number, Undo> {
  const undos = (changes.since(0) ?? []).filter((change) => change.kind === 'invalidation-undo')
  return new Map(undos.map((change) => [change.of, change]))
}

function reportOf(
  { services, clock }: ApiContext,
  { id, distribution, paths, soft = false, seq, at }: Invalidation,
  undone: Pick<Change, 'seq' | 'at'> | undefined,
) {
  const last = undone?.seq ?? seq
  const edges = services.edges().map((edge) => ({
    id: edge.id,
    // `unknown`: it has not said how far it is.
    state:
      edge.seq === undefined ? 'unknown' : edge.seq >= last ? ('applied' as const) : 'in-progress',
  }))
  const undoableUntil = at + UNDO_MS
  return {
    id,
    status: edges.some(({ state }) => state === 'in-progress') ? 'in-progress' : 'completed',
    distribution,
    paths,
    soft,
    seq,
    createdAt: at,
    edges,
    ...(undone
      ? { undoneAt: undone.at }
      : clock.now() <= undoableUntil
        ? { undoableUntil }
        : undefined),
  }
}
