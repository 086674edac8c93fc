import * as z from 'zod'
import type { Change } from '../distribution/change.ts'
import { NearcastError } from '../lib/errors.ts'
import { readableToken } from '../lib/random.ts'
import { type ApiContext, type Route, route } from './route.ts'

// CloudFront's: absolute, `*` only as the last character, at most 4000 characters, 3000 paths at once.
const PATH = /^\/[^\s*\p{Cc}]{0,3998}\*?$/u
const PATHS_MAX = 3000
const LISTED_MAX = 200
const ID_LENGTH = 14

/** The cache: what it holds, what is taken out of it, and why a URL is answered as it is. */
export const cacheRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/cache',
    summary: 'What the cache holds',
    status: 200,
    run: ({ services }) => ({ ...services.cache(), traffic: services.traffic() }),
  }),
  route({
    method: 'post',
    path: '/invalidations',
    summary: 'Make every edge fetch these paths anew; a path may end in *',
    body: z.strictObject({
      paths: z
        .array(
          z.string().regex(PATH).meta({
            expected: 'a path that starts with /, has * only at its end and is at most 4000 long',
          }),
        )
        .min(1)
        .max(PATHS_MAX)
        .meta({ expected: `a list of 1 to ${PATHS_MAX} paths`, description: 'What to remove.' }),
      distribution: z
        .string()
        .regex(/^(?:\*|[A-Za-z0-9][\w-]{0,63})$/)
        .default('*')
        .meta({ expected: 'the id of a distribution', description: 'Its id; * for all.' }),
    }),
    status: 201,
    run: async (context, { body: { distribution, paths } }) => {
      const { changes, state, random, log } = context
      const known = state().distributions.some(({ id }) => id === distribution)
      if (distribution !== '*' && !known)
        throw new NearcastError('not-found', `there is no distribution ${distribution}`)
      const id = `i${readableToken(random, ID_LENGTH)}`
      const change = await changes.append({ kind: 'invalidation', id, distribution, paths })
      log.info('invalidation', { id, distribution, paths: paths.length, first: paths[0] })
      return reportOf(context, change)
    },
  }),
  route({
    method: 'get',
    path: '/invalidations',
    summary: `The newest ${LISTED_MAX} invalidations`,
    status: 200,
    run: (context) => ({
      invalidations: invalidationsOf(context)
        .slice(-LISTED_MAX)
        .reverse()
        .map((change) => reportOf(context, change)),
    }),
  }),
  route({
    method: 'get',
    path: '/invalidations/{id}',
    summary: 'One invalidation and whether every edge has applied it',
    status: 200,
    run: (context, { params }) => {
      const change = invalidationsOf(context).find(({ id }) => id === params['id'])
      if (!change) throw new NearcastError('not-found', `there is no invalidation ${params['id']}`)
      return reportOf(context, change)
    },
  }),
  route({
    method: 'get',
    path: '/explain',
    summary: 'Why a URL is answered as it is',
    query: { url: 'The URL, or its path on the default distribution' },
    status: 200,
    run: ({ services }, { query, signal }) =>
      services.explain(required(query['url'], 'url'), signal),
  }),
  route({
    method: 'get',
    path: '/probe',
    summary: 'What a stored file is and how it will be played',
    query: { key: 'Key of the object in the media origin' },
    status: 200,
    run: ({ services }, { query, signal }) => services.probe(required(query['key'], 'key'), signal),
  }),
]

type Invalidation = Extract<Change, { kind: 'invalidation' }>

function invalidationsOf({ changes }: ApiContext): readonly Invalidation[] {
  return (changes.since(0) ?? []).filter((change) => change.kind === 'invalidation')
}

function reportOf({ services }: ApiContext, change: Change) {
  if (change.kind !== 'invalidation') throw new NearcastError('internal', 'not an invalidation')
  const { id, distribution, paths, seq, at } = change
  const applied = services.edges().every((edge) => edge.seq === undefined || edge.seq >= seq)
  return {
    id,
    status: applied ? 'completed' : 'in-progress',
    distribution,
    paths,
    seq,
    createdAt: at,
  }
}

function required(value: string | undefined, name: string): string {
  if (value !== undefined && value !== '') return value
  throw new NearcastError('bad-request', `the query parameter ${name} is missing`)
}
