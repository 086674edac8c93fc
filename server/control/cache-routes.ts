import { NearcastError } from '../lib/errors.ts'
import { type Route, route } from './route.ts'

/** The cache: what it holds, and why a URL is answered as it is. */
export const cacheRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/cache',
    summary: 'What the cache holds',
    status: 200,
    run: ({ services }) => ({ ...services.cache(), traffic: services.traffic() }),
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

function required(value: string | undefined, name: string): string {
  if (value !== undefined && value !== '') return value
  throw new NearcastError('bad-request', `the query parameter ${name} is missing`)
}
