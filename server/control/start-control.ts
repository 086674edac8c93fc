import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { isIP } from 'node:net'
import express, { type NextFunction, type Request, type Response } from 'express'
import { problemsOf } from '../distribution/problems.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import { listen } from '../lib/listen.ts'
import type { Metrics } from '../lib/metrics.ts'
import { cacheRoutes } from './cache-routes.ts'
import { readConsoleFiles } from './console-files.ts'
import { distributionRoutes } from './distribution-routes.ts'
import type { EventFeed } from './event-feed.ts'
import { invalidationRoutes } from './invalidation-routes.ts'
import { pushRoutes } from './push-routes.ts'
import { recordingRoutes } from './recording-routes.ts'
import { keyRoutes } from './key-routes.ts'
import { openApiOf } from './openapi.ts'
import type { ApiContext, Route } from './route.ts'
import { EVENTS, serveEvents } from './serve-events.ts'
import { serverRoutes } from './server-routes.ts'
import { streamRoutes } from './stream-routes.ts'

export interface ControlDeps extends ApiContext {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** What `/api/v1` wants as bearer token. */
  readonly token: string
  /** Names this port may be asked for by, besides addresses, localhost and names without a dot. */
  readonly hosts?: readonly string[] | undefined
  /** Folder of the built console. */
  readonly consoleFolder: string
  readonly metrics: Metrics
  /** What happens to streams; undefined where nobody publishes: in an edge. */
  readonly events?: EventFeed | undefined
}

export interface Control {
  readonly port: number
  /** Takes no more requests and lets those there are finish for a moment. */
  close(): Promise<void>
}

/** Every row of the API. */
export const apiRoutes: readonly Route[] = [
  ...serverRoutes,
  ...streamRoutes,
  ...keyRoutes,
  ...pushRoutes,
  ...recordingRoutes,
  ...cacheRoutes,
  ...invalidationRoutes,
  ...distributionRoutes,
]

const BODY_BYTES_MAX = 1024 * 1024
const CLOSE_GRACE_MS = 2000
const SECURITY_FIELDS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
}

/** Starts the operator's port: API, console, metrics and health. Throws `port-taken`. */
export async function startControl(deps: ControlDeps): Promise<Control> {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.use((request, response, next) => {
    response.set(SECURITY_FIELDS)
    checkHost(request.headers.host, deps.hosts ?? [])
    next()
  })
  addHealth(app, deps)
  app.get('/api/openapi.json', (_, response) => {
    response.json(openApiOf(deps.events ? [...apiRoutes, EVENTS] : apiRoutes, deps.version))
  })
  const closing = new AbortController()
  if (deps.events)
    app.get(
      `/api/v1${EVENTS.path}`,
      tokenCheck(deps.token),
      serveEvents(deps.events, closing.signal),
    )
  else
    app.get(`/api/v1${EVENTS.path}`, tokenCheck(deps.token), () => {
      throw elsewhere(deps.changes.parent)
    })
  app.use('/api/v1', tokenCheck(deps.token), apiRouter(deps))
  await addConsole(app, deps.consoleFolder)
  app.use((request: Request) => {
    throw new NearcastError('not-found', `${request.method} ${request.path} is not in the API`)
  })
  // Express knows an error handler by its four parameters.
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    sendError(deps, error, request, response)
  })

  const server = createServer(app)
  const port = await listen(server, { name: 'control', host: deps.host, port: deps.port })
  return {
    port,
    close: async () => {
      closing.abort()
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      using _ = deps.clock.after(CLOSE_GRACE_MS, () => server.closeAllConnections())
      await closed
    },
  }
}

function elsewhere(parent: string | undefined): NearcastError {
  const where = parent === undefined ? 'its parent' : `its parent ${parent}`
  return new NearcastError(
    'not-found',
    `nobody publishes at an edge: events are told by the API of ${where}`,
  )
}

function addHealth(app: express.Express, { services, metrics }: ControlDeps): void {
  app.get('/healthz', (_, response) => {
    response.type('text/plain').send('ok\n')
  })
  app.get('/readyz', (_, response) => {
    const { status } = services.health()
    response
      .status(status === 'ready' ? 200 : 503)
      .type('text/plain')
      .send(`${status}\n`)
  })
  app.get('/metrics', async (_, response) => {
    response.set('content-type', metrics.contentType).end(await metrics.text())
  })
}

function apiRouter(deps: ControlDeps): express.Router {
  const router = express.Router()
  // Whatever it is said to be: `curl -d` says that it is a form. Pages of other sites still lack the token.
  router.use(express.json({ limit: BODY_BYTES_MAX, type: () => true }))
  router.use((_, response, next) => {
    response.set('cache-control', 'no-store')
    next()
  })
  for (const row of apiRoutes)
    router[row.method](row.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (request, response) => {
      const gone = new AbortController()
      response.once('close', () => gone.abort(new NearcastError('unavailable', 'the asker left')))
      const body = bodyOf(row, request)
      const answer = await row.run(deps, {
        params: textValues(request.params),
        query: queryOf(row, request),
        body,
        signal: gone.signal,
      })
      if (row.status === 204) response.status(204).end()
      else response.status(row.statusFor?.(body) ?? row.status).json(answer)
    })
  return router
}

async function addConsole(app: express.Express, folder: string): Promise<void> {
  const files = await readConsoleFiles(folder)
  app.get('/{*path}', (request, response, next) => {
    const file = files.get(request.path)
    if (!file) {
      next()
      return
    }
    const { body, type, etag, immutable } = file
    response.set({
      'content-type': type,
      'cache-control': immutable ? 'max-age=31536000, immutable' : 'no-cache',
      etag,
    })
    if (request.headers['if-none-match'] === etag) response.status(304).end()
    else response.end(body)
  })
}

/** A page that a foreign name resolves to this address for must not reach it (DNS rebinding); names without a dot are never foreign. */
export function checkHost(header: string | undefined, names: readonly string[]): void {
  const host = (header ?? '').toLowerCase().replace(/:\d*$/, '')
  const plain = host.replace(/^\[(.*)\]$/, '$1')
  const ours =
    isIP(plain) !== 0 ||
    /^[a-z0-9_-]+$/.test(host) ||
    host.endsWith('.localhost') ||
    names.some((name) => name.toLowerCase() === host)
  if (!ours)
    throw new NearcastError(
      'forbidden',
      `this port is not known as ${host.slice(0, 100) || 'that'}`,
    )
}

function tokenCheck(token: string): express.RequestHandler {
  const wanted = hashOf(token)
  return (request, _, next) => {
    const [, given] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
    // Hashes have one length, so the comparison takes one time.
    if (given === undefined || !timingSafeEqual(hashOf(given), wanted))
      throw new NearcastError('unauthorized', 'the bearer token is missing or wrong')
    next()
  }
}

function bodyOf(row: Route, request: Request): unknown {
  if (!row.body) return undefined
  const body: unknown = request.body ?? {}
  const result = row.body.safeParse(body)
  if (result.success) return result.data
  throw new NearcastError('bad-request', problemsOf(row.body, result.error, body).join('; '))
}

function queryOf(row: Route, request: Request): Record<string, string> {
  const names = Object.keys(row.query ?? {})
  const given: Readonly<Record<string, unknown>> = request.query
  return Object.fromEntries(
    names.map((name) => [name, typeof given[name] === 'string' ? given[name] : '']),
  )
}

function textValues(values: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]))
}

function sendError(deps: ControlDeps, error: unknown, request: Request, response: Response): void {
  const known = asNearcastError(error)
  if (known.code === 'internal')
    deps.log.error('control request failed', { path: request.path, error: describeError(error) })
  if (response.headersSent) {
    response.destroy()
    return
  }
  if (known.code === 'unauthorized') response.set('www-authenticate', 'Bearer')
  response.status(known.status).json({ code: known.code, message: known.sentence })
}

/** Express and its body reader throw errors with a status and sometimes a type. */
function asNearcastError(error: unknown): NearcastError {
  if (error instanceof NearcastError) return error
  const status = error instanceof Error && 'status' in error ? error.status : undefined
  const type = error instanceof Error && 'type' in error ? error.type : undefined
  if (type === 'entity.too.large')
    return new NearcastError('content-too-large', `a body has at most ${BODY_BYTES_MAX} bytes`)
  if (type === 'entity.parse.failed')
    return new NearcastError('bad-request', 'the body is not JSON')
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new NearcastError('bad-request', 'the request cannot be read')
  return new NearcastError('internal', 'the server could not answer', { cause: error })
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
