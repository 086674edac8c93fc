export interface BodySource {
  /** The next bytes, or undefined at the end. Never called again after it failed or ended. */
  pull(): Promise<Uint8Array | undefined>
  /** Called exactly once: at the end, on failure, when the reader leaves, or when the signal is aborted. */
  release(): void | Promise<void>
  readonly signal: AbortSignal
}

/**
 * A body that owns something. Unlike a generator's, its iterator releases it also when it is returned before the first `next`.
 * A reader that neither iterates nor returns must abort the signal.
 */
export function pulledBody(source: BodySource): AsyncIterable<Uint8Array> {
  const { signal } = source
  let released: Promise<void> | undefined
  const release = () => {
    signal.removeEventListener('abort', onAbort)
    released ??= Promise.resolve(source.release())
    return released
  }
  const onAbort = () => void release().catch(() => {})
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })

  const iterator: AsyncIterator<Uint8Array> = {
    async next() {
      if (signal.aborted) throw signal.reason
      if (released) return { done: true, value: undefined }
      try {
        const value = await source.pull()
        if (value) return { done: false, value }
      } catch (error) {
        await release().catch(() => {})
        throw signal.aborted ? signal.reason : error
      }
      await release()
      return { done: true, value: undefined }
    },
    async return() {
      await release()
      return { done: true, value: undefined }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}
