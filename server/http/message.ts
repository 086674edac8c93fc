import type { Duplex } from 'node:stream'

/** Field names in lower case; a field that came several times is an array (RFC 9110 §5). */
export type Fields = Readonly<Record<string, string | readonly string[]>>

/** Bytes in memory (sent without a copy), or a stream that is pulled with backpressure. */
export type Body = null | Uint8Array | readonly Uint8Array[] | AsyncIterable<Uint8Array>

/** What an edge asks of an origin. Hop-by-hop fields are gone, `strip` is taken off the path. */
export interface OriginRequest {
  readonly method: string
  /** Absolute path, percent-encoded as the viewer sent it. */
  readonly path: string
  /** Raw query without the question mark; '' for none. */
  readonly query: string
  readonly headers: Fields
  readonly body: Body
  /** Aborted when nobody wants the answer any more. */
  readonly signal: AbortSignal
  /** Called for each 1xx the origin sends before its answer (RFC 9110 §15.2). */
  readonly onInformational?: ((status: number, headers: Fields) => void) | undefined
  /** Change log position that the answer must already know: `EPOCH:SEQ`. Tiers pass it on. */
  readonly minChange?: string | undefined
  /** Where an edge matched the request: a tier in between keeps the answer under the same behavior. `path` is the viewer's. */
  readonly matched?: { readonly distribution: string; readonly path: string } | undefined
}

export interface OriginMessage {
  readonly kind: 'message'
  readonly status: number
  readonly headers: Fields
  readonly body: Body
}

/** 101: bytes go both ways from here; `head` came behind the header. */
export interface OriginUpgrade {
  readonly kind: 'upgrade'
  readonly headers: Fields
  readonly socket: Duplex
  readonly head: Uint8Array
}

export type OriginResponse = OriginMessage | OriginUpgrade

/** Everything behind the edge is this function. Throws NearcastError when there is no answer at all. */
export type FetchOrigin = (request: OriginRequest) => Promise<OriginResponse>

/** An origin and what the edge must know before it asks. */
export interface Origin {
  readonly id: string
  readonly fetch: FetchOrigin
  /**
   * `none`: each request goes to the origin, which answers at once from memory (live window, pages made on the spot).
   * `shared`: answers go through the cache under the behavior's TTL.
   */
  readonly caching: 'none' | 'shared'
  /** The origin answers Range with 206 and If-Match with 412: the cache may fetch by slices (S3, folders). */
  readonly ranges: boolean
  /** Query names that change the answer, whatever the behavior's key says (`faststart`, `from`, `to`). */
  readonly keyQuery: readonly string[]
}

/** One value of a field: the first when it came several times. */
export function field(headers: Fields, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}
