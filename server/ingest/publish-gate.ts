import type { Clock } from '../lib/clock.ts'
import type { OpenedStream } from './stream-keys.ts'
import { isStreamName, liveNameOf } from './stream-path.ts'

export type PublishVerdict =
  /** `valid`: whether its key still opens this name. */
  | {
      readonly kind: 'admitted'
      readonly name: string
      /** It stands by for a publisher with another key. */
      readonly backup: boolean
      readonly valid: () => boolean
    }
  | { readonly kind: 'refused'; readonly description: string }

export interface PublishGateDeps {
  /** The stream a secret key belongs to; compares without telling how near a guess was. */
  readonly resolveKey: (key: string) => OpenedStream | undefined
  /** `open`: the stream key is the stream's name. */
  readonly publishAuth: 'keys' | 'open'
  /** The address that publishes this name now, or stands by for it. */
  readonly publisherOf: (stream: OpenedStream) => string | undefined
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
    const opened = this.#open(key)
    if (opened === undefined) return refused('The stream key is not known.')
    if (this.#isDisplaced(opened, address))
      return refused('Another publisher took over this stream.')
    const { name, backup } = opened
    return { kind: 'admitted', name, backup, valid: () => this.#open(key)?.name === name }
  }

  /** The publisher at `address` has lost the stream to another with such a key. */
  displaced(stream: OpenedStream, address: string): void {
    const now = this.#deps.clock.monotonic()
    for (const [id, until] of this.#displaced) if (until <= now) this.#displaced.delete(id)
    if (this.#displaced.size < DISPLACED_MAX) {
      this.#displaced.set(idOf(stream, address), now + DISPLACED_MS)
    }
  }

  #open(key: string): OpenedStream | undefined {
    if (this.#deps.publishAuth === 'open')
      return isStreamName(key) ? { name: key, backup: false } : undefined
    return this.#deps.resolveKey(key)
  }

  /** Only while a publisher at another address holds the name: at the same one it may be the same encoder, restarted. */
  #isDisplaced(stream: OpenedStream, address: string): boolean {
    const id = idOf(stream, address)
    const until = this.#displaced.get(id)
    const now = this.#deps.clock.monotonic()
    const holder = this.#deps.publisherOf(stream)
    if (until === undefined || until <= now || holder === undefined || holder === address)
      return false
    this.#displaced.set(id, now + DISPLACED_MS)
    return true
  }
}

function idOf({ name, backup }: OpenedStream, address: string): string {
  return `${name} ${backup} ${address}`
}

function refused(description: string): PublishVerdict {
  return { kind: 'refused', description }
}
