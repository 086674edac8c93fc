import * as z from 'zod'
import { NearcastError } from '../lib/errors.ts'
import { type ApiContext, type Route, route } from './route.ts'
import type { PushServices } from './services.ts'

/** Other RTMP services that a stream is sent on to. */
export const pushRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/streams/{name}/pushes',
    summary: 'Where a stream is sent on to, and how that goes; without the keys',
    status: 200,
    run: (context, { params }) => ({ pushes: servicesOf(context).list(params['name'] ?? '') }),
  }),
  route({
    method: 'post',
    path: '/streams/{name}/pushes',
    summary: 'Send a stream on to another RTMP service whenever it is live',
    body: z.strictObject({
      url: z
        .string()
        .max(2048)
        .regex(/^rtmps?:\/\/[^/]+\/./i)
        .meta({
          description: 'Server and application of the service.',
          expected: 'an address such as rtmps://live.example.com/app',
        }),
      key: z.string().min(1).max(2048).meta({
        description: 'Its stream key; it is kept in the data folder and never shown again.',
        expected: 'the stream key of the service',
      }),
    }),
    status: 201,
    run: (context, { params, body }) => {
      const name = params['name'] ?? ''
      if (!/^[A-Za-z0-9_-]{1,64}$/.test(name))
        throw new NearcastError('bad-request', `${name} is no name of a stream`)
      return servicesOf(context).add(name, body)
    },
  }),
  route({
    method: 'delete',
    path: '/streams/{name}/pushes/{id}',
    summary: 'Send a stream there no more',
    status: 204,
    run: (context, { params }) =>
      servicesOf(context).remove(params['name'] ?? '', params['id'] ?? ''),
  }),
]

function servicesOf({ services }: ApiContext): PushServices {
  if (services.pushes) return services.pushes
  throw new NearcastError('not-found', 'nobody publishes at an edge: ask its origin')
}
