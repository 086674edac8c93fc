import type { Clock } from '../lib/clock.ts'
import { isStreamName, liveNameOf } from './stream-path.ts'

export type PublishVerdict =
  /** `valid`: whether its key still opens this name. */
  | { readonly kind: 'admitted'; readonly name: string; readonly valid: () => boolean }
  | { readonly kind: 'refused'; readonly description: string }

export interface PublishGateDeps {
  /** The stream a secret key belongs to; compares without telling how near a guess was. */
  readonly resolveKey: (key: string) => { readonly name: string } | undefined
  /** `open`: the stream key is the stream's name. */
  readonly publishAuth: 'keys' | 'open'
  /** The address that publishes this name now. */
  readonly publisherOf: (name: string) => string | undefined
  readonly clock: Clock
}

/**
 * A publisher cut by another comes back on its own (OBS each 2 s, for ever): two encoders at two places with one key
 * would cut each other for ever. The displaced place stays out as long as it tries more often than this.
 */
const DISPLACED_MS = 15_000
const DISPLACED_MAX = 256

/** Decides who may publish what. Of one name the newest publisher wins. */
export class PublishGate {
  readonly #deps: PublishGateDeps
  readonly #displaced = new Map<string, number>()

  constructor(deps: PublishGateDeps) {
    this.#deps = deps
  }

  admit(path: readonly string[], address: string): PublishVerdict {
    const key = liveNameOf(path)
    if (key === undefined)
      return refused('Publish to the application "live", with your stream key.')
    const name = this.#nameOf(key)
    if (name === undefined) return refused('The stream key is not known.')
    return this.#isDisplaced(name, address)
      ? refused('Another publisher took over this stream.')
      : { kind: 'admitted', name, valid: () => this.#nameOf(key) === name }
  }

  /** The publisher of `name` at `address` has lost it to another. */
  displaced(name: string, address: string): void {
    const now = this.#deps.clock.monotonic()
    for (const [id, until] of this.#displaced) if (until <= now) this.#displaced.delete(id)
    if (this.#displaced.size < DISPLACED_MAX) {
      this.#displaced.set(`${name} ${address}`, now + DISPLACED_MS)
    }
  }

  #nameOf(key: string): string | undefined {
    if (this.#deps.publishAuth === 'open') return isStreamName(key) ? key : undefined
    return this.#deps.resolveKey(key)?.name
  }

  /** Only while a publisher at another address holds the name: at the same one it may be the same encoder, restarted. */
  #isDisplaced(name: string, address: string): boolean {
    const until = this.#displaced.get(`${name} ${address}`)
    const now = this.#deps.clock.monotonic()
    const holder = this.#deps.publisherOf(name)
    if (until === undefined || until <= now || holder === undefined || holder === address)
      return false
    this.#displaced.set(`${name} ${address}`, now + DISPLACED_MS)
    return true
  }
}

function refused(description: string): PublishVerdict {
  return { kind: 'refused', description }
}
