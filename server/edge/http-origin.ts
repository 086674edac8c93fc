import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { buildConnector, type Client, Pool } from 'undici'
import type { HttpOriginOptions } from '../distribution/types.ts'
import { endToEndFields, fieldLine } from '../http/fields.ts'
import type { Origin, OriginRequest, OriginResponse } from '../http/message.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { BrokenConnection, exchange } from './http-exchange.ts'
import { OriginConnection } from './origin-connection.ts'
import { Places } from './places.ts'

/** An origin that owns connections or timers. */
export interface ClosableOrigin extends Origin {
  /** Another one has taken its place: what runs goes on to its end, and who still holds on to it may ask for more. */
  retire(): Promise<void>
  /** The server ends: what still runs after a moment is cut. */
  close(): Promise<void>
}

export interface HttpOriginDeps {
  readonly clock: Clock
  readonly log: Log
  /** All addresses of a name; the system's resolver when undefined. */
  readonly resolve?: ((hostname: string) => Promise<readonly string[]>) | undefined
}

const CONNECTIONS_MAX = 256
const HEADER_BYTES_MAX = 32 * 1024
/** What ends by itself at the end of the server has so long. */
const CLOSE_GRACE_MS = 1000
/** How often a name in use is asked for again: connections to an address that it lost are given up. */
const RESOLVE_EVERY_MS = 30_000
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])
// Of one connection, or decided here; undici refuses to send `expect`.
const VIA = '1.1 nearcast'
const NOT_PASSED_ON = ['host', 'expect', 'http2-settings']

/**
 * A web server. Bytes go through as they are, both ways with backpressure; redirects are answers. A request with an `upgrade`
 * field asks for a change of protocols. `ranges` is false: a web server's Range and If-Match cannot be relied on, so
 * only a viewer's own Range gets there. A GET, HEAD or OPTIONS whose connection broke before any answer is sent once more.
 */
export function httpOrigin(
  id: string,
  options: HttpOriginOptions,
  deps: HttpOriginDeps,
): ClosableOrigin {
  const url = new URL(options.url)
  const prefix = url.pathname.replace(/\/+$/, '')
  const connections = new Connections(id, url, options, deps)
  const added = Object.fromEntries(
    Object.entries(options.headers).map(([name, value]) => [name.toLowerCase(), value]),
  )

  const send = (request: OriginRequest): Promise<OriginResponse> => {
    const query = request.query === '' ? '' : `?${request.query}`
    return exchange(request, {
      dispatcher: connections.pool(),
      places: connections.places,
      origin: `origin ${id} (${url.host})`,
      path: prefix + request.path + query,
      headers: { ...passedOn(request), ...added },
      connectMs: options.timeouts.connectMs,
      responseMs: options.timeouts.responseMs,
      clock: deps.clock,
    })
  }

  return {
    id,
    caching: 'shared',
    ranges: false,
    keyQuery: [],
    async fetch(request) {
      try {
        return await send(request)
      } catch (error) {
        const again = error instanceof BrokenConnection && SAFE.has(request.method)
        if (!again || request.body !== null || request.signal.aborted) throw error
        return await send(request)
      }
    },
    retire: () => connections.retire(),
    close: () => connections.close(),
  }
}

class Connections {
  /** The pool would queue without a bound, and go through the dead of its queue at the price of a connection each. */
  readonly places = new Places(CONNECTIONS_MAX)
  readonly #id: string
  readonly #url: URL
  readonly #options: HttpOriginOptions
  readonly #deps: HttpOriginDeps
  #pool: Pool
  #addresses: string | undefined
  #resolvedAt = Number.NEGATIVE_INFINITY

  constructor(id: string, url: URL, options: HttpOriginOptions, deps: HttpOriginDeps) {
    this.#id = id
    this.#url = url
    this.#options = options
    this.#deps = deps
    this.#pool = this.#open()
  }

  pool(): Pool {
    const now = this.#deps.clock.monotonic()
    if (now - this.#resolvedAt >= RESOLVE_EVERY_MS) {
      this.#resolvedAt = now
      void this.#checkAddresses()
    }
    return this.#pool
  }

  async retire(): Promise<void> {
    this.#resolvedAt = Number.POSITIVE_INFINITY
    const old = this.#pool
    // For those who come back for the rest of a body: nothing is left of it when they have it.
    this.#pool = this.#open({ keepAliveTimeout: 1 })
    await old.close()
  }

  async close(): Promise<void> {
    this.#resolvedAt = Number.POSITIVE_INFINITY
    const pool = this.#pool
    using _ = this.#deps.clock.after(CLOSE_GRACE_MS, () => void pool.destroy().catch(() => {}))
    await pool.close()
  }

  /** Requests under way keep the old connections until they end. */
  async #checkAddresses(): Promise<void> {
    const { hostname } = this.#url
    if (isIP(hostname.replace(/^\[(.*)\]$/, '$1')) !== 0) return
    const resolve = this.#deps.resolve ?? addressesOf
    // A name that can't be resolved now says nothing about the connections that work.
    const found = await resolve(hostname).catch(() => undefined)
    if (!found || found.length === 0 || this.#pool.closed) return
    const addresses = [...found].sort().join(' ')
    const former = this.#addresses
    this.#addresses = addresses
    if (former === undefined || former === addresses) return
    this.#deps.log.info('origin has other addresses', { origin: this.#id, addresses })
    const old = this.#pool
    this.#pool = this.#open()
    await old.close().catch((error: unknown) => {
      const facts = { origin: this.#id, error: describeError(error) }
      this.#deps.log.warn('old connections did not close', facts)
    })
  }

  #open(more: Client.Options = {}): Pool {
    const connect = buildConnector({ timeout: this.#options.timeouts.connectMs })
    return new Pool(this.#url.origin, {
      connections: CONNECTIONS_MAX,
      factory: (url) =>
        new OriginConnection(url, { ...more, maxHeaderSize: HEADER_BYTES_MAX, connect }),
    })
  }
}

async function addressesOf(hostname: string): Promise<readonly string[]> {
  const found = await lookup(hostname, { all: true })
  return found.map(({ address }) => address)
}

function passedOn(request: OriginRequest): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(endToEndFields(request.headers)))
    if (!NOT_PASSED_ON.includes(name)) fields[name] = typeof value === 'string' ? value : [...value]
  // RFC 9110 §7.6.3: in each request that a gateway forwards.
  const via = fieldLine(request.headers, 'via')
  fields['via'] = via === undefined ? VIA : `${via}, ${VIA}`
  return fields
}
