import * as z from 'zod'
import { NearcastError } from '../lib/errors.ts'
import { followsParent } from './follower-log.ts'
import { type ApiContext, type Route, route } from './route.ts'
import {
  createStreamKey,
  listStreamKeys,
  maskedKey,
  revokeStreamKey,
  rotateStreamKey,
  type StreamKeyEntry,
} from './stream-keys.ts'

const STREAM_NAME = /^[A-Za-z0-9_-]{1,64}$/
const OVERLAP_SECONDS_MAX = 7 * 86_400
/** Keys that are being replaced: of two who ask at once one would get a key that nobody counted on. */
const rotating = new Set<string>()

/** The secret keys that publishers use. */
export const keyRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/keys',
    summary: 'Stream keys by their last characters',
    status: 200,
    run: (context) => ({ keys: keysOf(context).map(listed) }),
  }),
  route({
    method: 'get',
    path: '/streams/{name}/keys',
    summary: 'Keys of one stream by their last characters',
    status: 200,
    run: (context, { params }) => ({
      keys: keysOf(context)
        .filter(({ name }) => name === params['name'])
        .map(listed),
    }),
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
    run: async (context, { body }) => {
      const made = await createStreamKey(context.changes, context.random, body.name, body.backup)
      const { id, name, backup } = made
      context.log.info('stream key created', { stream: name, id, backup })
      return shownOnce(context, made)
    },
  }),
  route({
    method: 'post',
    path: '/keys/{id}/rotate',
    summary:
      'Make a key in place of another, valid at once and shown this once; the former one is revoked, or holds for an overlap',
    body: z.strictObject({
      overlapSeconds: z.number().min(0).max(OVERLAP_SECONDS_MAX).default(0).meta({
        description:
          'How long the former key holds beside the new one. At its end who publishes with it is cut.',
        expected: 'seconds from 0 to 604800 (a week)',
      }),
    }),
    status: 201,
    run: async (context, { params, body: { overlapSeconds } }) => {
      const { changes, random, clock, services, log } = context
      const former = findKey(context, params['id'])
      if (rotating.has(former.id))
        throw new NearcastError('conflict', `key ${former.id} is being replaced already`)
      rotating.add(former.id)
      const options = { overlapSeconds, now: clock.now() }
      const { made, formerUntil } = await rotateStreamKey(changes, random, former, options).finally(
        () => rotating.delete(former.id),
      )
      const { name, id } = made
      log.info('stream key rotated', { stream: name, id, former: former.id, overlapSeconds })
      if (overlapSeconds === 0) services.cutRevoked(name)
      return { ...shownOnce(context, made), former: former.id, formerUntil }
    },
  }),
  route({
    method: 'delete',
    path: '/keys/{id}',
    summary: 'Revoke a key, and cut who publishes with it',
    status: 204,
    run: async (context, { params }) => {
      const key = findKey(context, params['id'])
      await revokeStreamKey(context.changes, key)
      context.log.info('stream key revoked', { stream: key.name, id: key.id })
      context.services.cutRevoked(key.name)
    },
  }),
]

function keysOf({ changes, clock }: ApiContext): readonly StreamKeyEntry[] {
  if (changes.parent !== undefined) throw followsParent(changes.parent)
  return listStreamKeys(changes, clock.now())
}

function findKey(context: ApiContext, id: string | undefined): StreamKeyEntry {
  const key = keysOf(context).find((one) => one.id === id)
  if (!key) throw new NearcastError('not-found', `there is no key ${id}`)
  return key
}

function listed({ id, name, key, backup, createdAt, until }: StreamKeyEntry): object {
  return { id, name, masked: maskedKey(key), backup, createdAt, until }
}

function shownOnce({ services }: ApiContext, entry: StreamKeyEntry): object {
  const { id, name, key, backup, createdAt } = entry
  const { rtmp: server, http } = services.health().listeners
  const watch = http === undefined ? undefined : `${http}/watch/live/${name}`
  return { id, name, key, backup, createdAt, server, watch }
}
