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
  let length = 0
  let ended = false
  try {
    signal.throwIfAborted()
    for (;;) {
      const result = await nextUnlessAborted(iterator, signal)
      if (result.done) break
      length += result.value.length
      if (size !== undefined && length > size) checkSize(key, size, length)
      if (result.value.length > 0) yield result.value
      signal.throwIfAborted()
    }
    ended = true
    checkSize(key, size, length)
  } finally {
    // Not awaited: a source that hangs in `next` would hang here too.
    if (!ended) iterator.return?.().then(undefined, () => {})
  }
}

async function nextUnlessAborted<T>(
  iterator: AsyncIterator<T>,
  signal: AbortSignal,
): Promise<IteratorResult<T>> {
  // One for each chunk: a race leaves what it gave with every promise it was run against, as long as that is pending.
  const aborted = deferred<never>()
  const onAbort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const next = iterator.next()
    next.catch(() => {})
    return await Promise.race([next, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
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
