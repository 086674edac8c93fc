import { deferred } from '../lib/deferred.ts'
import { NearcastError } from '../lib/errors.ts'
import { shown } from './object-key.ts'
import type { WriteOptions } from './object-store.ts'

/**
 * The body of a write, held to its announced size (`bad-request`) and to the signal, also while its source gives nothing. The source
 * is returned when this one is.
 */
export async function* writtenBody(
  key: string,
  body: Uint8Array | AsyncIterable<Uint8Array>,
  { size, signal }: WriteOptions,
): AsyncGenerator<Uint8Array, void> {
  if (body instanceof Uint8Array) {
    signal.throwIfAborted()
    checkSize(key, size, body.length)
    if (body.length > 0) yield body
    return
  }
  const iterator = body[Symbol.asyncIterator]()
  const aborted = deferred<never>()
  aborted.promise.catch(() => {})
  const onAbort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  let length = 0
  let ended = false
  try {
    signal.throwIfAborted()
    for (;;) {
      const next = iterator.next()
      next.catch(() => {})
      const result = await Promise.race([next, aborted.promise])
      if (result.done) break
      length += result.value.length
      if (size !== undefined && length > size) checkSize(key, size, length)
      if (result.value.length > 0) yield result.value
      signal.throwIfAborted()
    }
    ended = true
    checkSize(key, size, length)
  } finally {
    signal.removeEventListener('abort', onAbort)
    // Not awaited: a source that hangs in `next` would hang here too.
    if (!ended) iterator.return?.().then(undefined, () => {})
  }
}

function checkSize(key: string, expected: number | undefined, actual: number): void {
  if (expected === undefined || expected === actual) return
  const found = actual > expected ? 'more' : `only ${actual}`
  throw new NearcastError(
    'bad-request',
    `${shown(key)}: ${expected} bytes announced, ${found} came`,
  )
}
