import type { Distribution } from '../distribution/types.ts'
import type { Exchange } from './match-request.ts'
import type { RequestHead } from './request-head.ts'

/** A request that was answered the fast way once, and where it leads. */
export interface KnownRequest {
  readonly request: RequestHead
  readonly exchange: Exchange
  readonly distributions: readonly Distribution[]
  /** What was said last, in seconds. */
  age: number
  ttl: number
}

// Measured on Node 20, rounded up: strings of a request share its bytes, what is told apart of it costs this.
const ENTRY_BYTES = 1200
const FIELD_BYTES = 100

/** Requests by their bytes, oldest out; bounded by number and by what all that is kept for them takes. */
export class KnownRequests {
  readonly #entriesMax: number
  readonly #bytesMax: number
  readonly #entries = new Map<string, KnownRequest>()
  #bytes = 0

  constructor(entriesMax: number, bytesMax: number) {
    this.#entriesMax = entriesMax
    this.#bytesMax = bytesMax
  }

  get size(): number {
    return this.#entries.size
  }
  get bytes(): number {
    return this.#bytes
  }

  get(bytes: string): KnownRequest | undefined {
    return this.#entries.get(bytes)
  }

  keep(bytes: string, known: KnownRequest): void {
    this.forget(bytes)
    this.#entries.set(bytes, known)
    this.#bytes += costOf(bytes, known)
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#entriesMax && this.#bytes <= this.#bytesMax) return
      this.forget(oldest)
    }
  }

  forget(bytes: string): void {
    const known = this.#entries.get(bytes)
    if (known && this.#entries.delete(bytes)) this.#bytes -= costOf(bytes, known)
  }
}

/** Bytes that an entry takes. Paths and the key are written anew where the request spells them in another way. */
function costOf(bytes: string, { request, exchange }: KnownRequest): number {
  const fields = Object.keys(request.headers).length
  const names = exchange.key.length + exchange.path.length + exchange.originPath.length
  return ENTRY_BYTES + bytes.length + fields * FIELD_BYTES + names
}
