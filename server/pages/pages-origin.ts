import { createHash } from 'node:crypto'
import { evaluateConditions } from '../http/conditionals.ts'
import { formatHttpDate } from '../http/dates.ts'
import {
  type Fields,
  field,
  type Origin,
  type OriginMessage,
  type OriginRequest,
} from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { ERRORS, type ErrorCode } from '../lib/errors.ts'
import { answerOembed } from './oembed.ts'
import { type PageAddress, readPageAddress } from './page-address.ts'
import { chooseEncoding, type PlayerFile, readPlayerFiles } from './player-files.ts'
import { readPlayerOptions } from './player-options.ts'
import { writeEmbedPage, writeErrorPage, writeWatchPage } from './write-page.ts'

export interface PagesDeps {
  /** Where the build put the player: `dist/player`. */
  readonly playerDir: string
  readonly clock: Clock
  /** Of the product; told by oEmbed. */
  readonly version: string
}

/** No script but ours: a name that slipped through an escape could still not run. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'unsafe-inline'",
  "img-src 'self' data: http: https:",
  "media-src 'self' blob: http: https:",
  "connect-src 'self' http: https:",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

/** A 304 describes nothing it does not carry (RFC 9110 §15.4.5). */
const CONTENT_FIELDS = ['content-type', 'content-length', 'content-encoding']

const YEAR_SECONDS = 31_536_000
const PLAYER_SECONDS = 60

/** `/watch`, `/embed`, `/oembed`, `/player.js` and `/player/…`, answered from memory. */
export function createPagesOrigin(deps: PagesDeps): Origin {
  const files = readPlayerFiles(deps.playerDir)
  const preload = [...files.keys()].filter((path) => path.startsWith('/player/hls.'))
  const answer = (request: OriginRequest): OriginMessage => {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return refuse(request, 'method-not-allowed')
    const { path, query } = request
    if (path === '/player.js' || path.startsWith('/player/')) return sendFile(request, files)
    const base = baseOf(request.headers)
    if (path === '/oembed') return sendOembed(request, base, deps.version)
    const address = readPageAddress(path)
    if (!address) return refuse(request, 'not-found')
    return sendPage(request, address, base, query, preload)
  }
  return {
    id: 'pages',
    caching: 'none',
    ranges: false,
    keyQuery: [],
    fetch: async (request) => withConditions(request, answer(request), deps.clock),
  }
}

function withConditions(
  request: OriginRequest,
  answer: OriginMessage,
  clock: Clock,
): OriginMessage {
  const headers: Record<string, Fields[string]> = {
    ...answer.headers,
    date: formatHttpDate(clock.now()),
  }
  const etag = field(headers, 'etag')
  if (etag === undefined) return { ...answer, headers }
  switch (evaluateConditions({ method: request.method, headers: request.headers, etag })) {
    case 'proceed':
      return { ...answer, headers }
    case 'not-modified':
      for (const name of CONTENT_FIELDS) delete headers[name]
      return { kind: 'message', status: 304, headers, body: null }
    case 'precondition-failed':
      return refuse(request, 'precondition-failed')
  }
}

function sendPage(
  request: OriginRequest,
  { view, target }: PageAddress,
  base: string,
  query: string,
  preload: readonly string[],
): OriginMessage {
  const embedded = target.kind === 'live' ? 'muted' : 'no'
  const options = readPlayerOptions(query, view === 'watch' ? 'yes' : embedded)
  const input = { target, options, base, preload }
  const markup = view === 'watch' ? writeWatchPage(input) : writeEmbedPage(input)
  const policy = view === 'watch' ? `${POLICY}; frame-ancestors 'self'` : POLICY
  return message(request, 200, 'text/html; charset=utf-8', markup, {
    'cache-control': 'no-cache',
    'content-security-policy': policy,
    'referrer-policy': 'strict-origin-when-cross-origin',
    etag: `"${hashOf(markup)}"`,
  })
}

function sendOembed(request: OriginRequest, base: string, version: string): OriginMessage {
  const result = answerOembed(request.query, base, version)
  switch (result.kind) {
    case 'found':
      return message(request, 200, 'application/json; charset=utf-8', result.body, {
        'cache-control': 'no-cache',
        etag: `"${hashOf(result.body)}"`,
      })
    case 'bad-request':
      return refuse(request, 'bad-request', result.sentence)
    case 'not-found':
      return refuse(request, 'not-found')
    case 'not-implemented':
      return message(
        request,
        501,
        'application/json; charset=utf-8',
        JSON.stringify({ code: 'bad-request', message: 'oembed is answered as JSON only' }),
        { 'cache-control': 'no-store' },
      )
  }
}

function sendFile(request: OriginRequest, files: ReadonlyMap<string, PlayerFile>): OriginMessage {
  const file = files.get(request.path)
  if (!file) return refuse(request, files.size === 0 ? 'unavailable' : 'not-found')
  const encoding = chooseEncoding(file, field(request.headers, 'accept-encoding'))
  const body = file.bodies[encoding] ?? new Uint8Array()
  return message(request, 200, file.type, body, {
    'cache-control': file.immutable
      ? `public, max-age=${YEAR_SECONDS}, immutable`
      : `public, max-age=${PLAYER_SECONDS}, must-revalidate`,
    // RFC 9110 §8.8.3.3: another encoding is another representation.
    etag: `"${file.hash}${encoding === 'identity' ? '' : `-${encoding}`}"`,
    vary: 'accept-encoding',
    ...(encoding === 'identity' ? {} : { 'content-encoding': encoding }),
  })
}

function refuse(
  request: OriginRequest,
  code: ErrorCode,
  meaning: string = ERRORS[code][1],
): OriginMessage {
  const [status] = ERRORS[code]
  const headers: Fields = {
    'cache-control': 'no-store',
    ...(code === 'method-not-allowed' ? { allow: 'GET, HEAD' } : {}),
  }
  if (!field(request.headers, 'accept')?.includes('text/html')) {
    const body = JSON.stringify({ code, message: meaning })
    return message(request, status, 'application/json; charset=utf-8', body, headers)
  }
  const sentence = code === 'not-found' ? 'There is no page at this address.' : `${meaning}.`
  const title = code === 'not-found' ? 'Nothing here' : 'That did not work'
  return message(request, status, 'text/html; charset=utf-8', writeErrorPage(title, sentence), {
    ...headers,
    'content-security-policy': POLICY,
  })
}

function message(
  request: OriginRequest,
  status: number,
  type: string,
  content: string | Uint8Array,
  headers: Fields,
): OriginMessage {
  const body = typeof content === 'string' ? Buffer.from(content) : content
  return {
    kind: 'message',
    status,
    headers: {
      'content-type': type,
      'content-length': `${body.length}`,
      'x-content-type-options': 'nosniff',
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'Age, Date, Content-Length, Content-Range',
      ...headers,
    },
    body: request.method === 'HEAD' ? null : body,
  }
}

/** Scheme and host as the viewer knows them; '' when the host is not one. */
function baseOf(headers: Fields): string {
  const host = field(headers, 'host') ?? ''
  if (!/^(?:[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?$/.test(host)) return ''
  const base = `${field(headers, 'x-forwarded-proto') === 'https' ? 'https' : 'http'}://${host}`
  return URL.canParse(base) ? base : ''
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 20)
}
