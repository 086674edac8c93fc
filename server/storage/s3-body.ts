import type { Clock } from '../lib/clock.ts'
import { deferred } from '../lib/deferred.ts'
import { NearcastError, describeError } from '../lib/errors.ts'
import { pulledBody } from './pulled-body.ts'

/** How long a transfer may give nothing while somebody waits for it; a reader that pauses it has all the time it wants. */
const IDLE_TIMEOUT_MS = 30_000

export interface TransferOptions {
  /** Names the object in messages. */
  readonly what: string
  /** Bytes that were announced: less or more is `store-failed`. */
  readonly length: number
  readonly signal: AbortSignal
  readonly clock: Clock
  /** Ends the transfer: its connection is closed when the body has not ended. */
  release(): void
}

/** The bytes of a response, in the chunks they come in. */
export function transferBody(
  body: AsyncIterable<Uint8Array>,
  options: TransferOptions,
): AsyncIterable<Uint8Array> {
  const { what, length, clock } = options
  const iterator = body[Symbol.asyncIterator]()
  let received = 0
  const fail = (said: string) =>
    new NearcastError('store-failed', `${what}: ${said} after ${received} of ${length} bytes`)
  const pull = async () => {
    const result = await nextWithin(iterator, clock, () => fail('no byte came')).catch((error) => {
      throw error instanceof NearcastError ? error : fail(`cut (${describeError(error)})`)
    })
    if (result.done) {
      if (received < length) throw fail('ended')
      return undefined
    }
    received += result.value.length
    if (received > length) throw fail('more came')
    return result.value
  }
  return pulledBody({ pull, release: () => options.release(), signal: options.signal })
}

async function nextWithin<T>(
  iterator: AsyncIterator<T>,
  clock: Clock,
  late: () => Error,
): Promise<IteratorResult<T>> {
  const next = iterator.next()
  next.catch(() => {})
  const idle = deferred<never>()
  using _timer = clock.after(IDLE_TIMEOUT_MS, () => idle.reject(late()))
  return await Promise.race([next, idle.promise])
}
