import type { ResultType } from './viewer.ts'

/** One answered request, for access logs. Strings are as the viewer sent them; '' for none. */
export interface AccessRecord {
  /** When the request came, milliseconds since 1970. */
  readonly at: number
  readonly edge: string
  readonly requestId: string
  readonly address: string
  readonly method: string
  readonly host: string
  /** Path and query. */
  readonly target: string
  /** 0 when the viewer left before there was a header. */
  readonly status: number
  /** Of the body. */
  readonly bytes: number
  /** From the viewer, where a connection was passed on (WebSocket); not told of other requests. */
  readonly receivedBytes?: number | undefined
  readonly seconds: number
  readonly result: ResultType
  /** False when the connection ended before the answer did. */
  readonly complete: boolean
  readonly referer: string
  readonly userAgent: string
  readonly range: string
  readonly protocol: string
}
