import * as z from 'zod'
import { NearcastError } from '../lib/errors.ts'
import { followsParent } from './follower-log.ts'
import { type Route, route } from './route.ts'
import type { StreamReport } from './services.ts'
import { createStreamKey, listStreamKeys } from './stream-keys.ts'

const STREAM_NAME = /^[A-Za-z0-9_-]{1,64}$/

/** Live streams, RTMP connections, and the keys that publishers use. */
export const streamRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/streams',
    summary: 'Live streams',
    status: 200,
    run: ({ services }) => ({ streams: services.streams() }),
  }),
  route({
    method: 'get',
    path: '/streams/{name}',
    summary: 'One live stream',
    status: 200,
    run: ({ services }, { params }) => findStream(services.streams(), params['name'] ?? ''),
  }),
  route({
    method: 'delete',
    path: '/streams/{name}',
    summary: 'Cut the publisher of a stream; it may come back while its key holds',
    status: 204,
    run: ({ services, log }, { params }) => {
      const name = params['name'] ?? ''
      if (!services.cutStream(name)) throw notLive(name)
      log.info('stream cut by the operator', { stream: name })
    },
  }),
  route({
    method: 'get',
    path: '/sessions',
    summary: 'RTMP connections',
    status: 200,
    run: ({ services }) => ({ sessions: services.sessions() }),
  }),
  route({
    method: 'get',
    path: '/inputs',
    summary: 'Streams that ffmpeg brings in, and how that goes',
    status: 200,
    run: ({ services }) => ({ inputs: services.inputs?.() ?? [] }),
  }),
  route({
    method: 'get',
    path: '/keys',
    summary: 'Stream keys, without the keys themselves',
    status: 200,
    run: ({ changes }) => {
      if (changes.parent !== undefined) throw followsParent(changes.parent)
      return {
        keys: listStreamKeys(changes).map(({ id, name, backup, createdAt }) => ({
          id,
          name,
          backup,
          createdAt,
        })),
      }
    },
  }),
  route({
    method: 'post',
    path: '/keys',
    summary: 'Make a key for a stream name; the answer is the only time it is shown',
    body: z.strictObject({
      name: z.string().regex(STREAM_NAME).meta({
        description: 'Name of the stream.',
        expected: 'a stream name of letters, digits, - and _ (at most 64)',
      }),
      backup: z.boolean().default(false).meta({
        description:
          'For a second publisher, which stands by and takes over while the one with another key of this name is gone or silent.',
        expected: 'true or false',
      }),
    }),
    status: 201,
    run: async ({ changes, random, services, log }, { body }) => {
      const { id, name, key, backup, createdAt } = await createStreamKey(
        changes,
        random,
        body.name,
        body.backup,
      )
      log.info('stream key created', { stream: name, id, backup })
      const { rtmp: server, http } = services.health().listeners
      const watch = http === undefined ? undefined : `${http}/watch/live/${name}`
      return { id, name, key, backup, createdAt, server, watch }
    },
  }),
  route({
    method: 'delete',
    path: '/keys/{id}',
    summary: 'Revoke a key, and cut who publishes with it',
    status: 204,
    run: async ({ changes, services, log }, { params }) => {
      const key = listStreamKeys(changes).find((one) => one.id === params['id'])
      if (!key) throw new NearcastError('not-found', `there is no key ${params['id']}`)
      await changes.append({ kind: 'stream-key', name: key.name, key: key.key, revoked: true })
      log.info('stream key revoked', { stream: key.name, id: key.id })
      services.cutRevoked(key.name)
    },
  }),
]

function findStream(streams: readonly StreamReport[], name: string): StreamReport {
  const stream = streams.find((one) => one.name === name)
  if (!stream) throw notLive(name)
  return stream
}

function notLive(name: string): NearcastError {
  return new NearcastError('stream-not-live', `nobody publishes ${name}`)
}
