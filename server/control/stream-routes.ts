import { NearcastError } from '../lib/errors.ts'
import { type Route, route } from './route.ts'
import type { StreamReport } from './services.ts'

/** Live streams and RTMP connections. */
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
]

function findStream(streams: readonly StreamReport[], name: string): StreamReport {
  const stream = streams.find((one) => one.name === name)
  if (!stream) throw notLive(name)
  return stream
}

function notLive(name: string): NearcastError {
  return new NearcastError('stream-not-live', `nobody publishes ${name}`)
}
