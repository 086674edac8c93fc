import type { ObjectStore } from './object-store.ts'

/** A store that knows what runs in it. */
export interface CountedStore extends ObjectStore {
  /** Resolves when nothing runs: no answer is awaited and every body that was given has ended. */
  idle(): Promise<void>
}

/** A body counts until it is read to its end, fails, is returned, or its signal is aborted. */
export function countedStore(store: ObjectStore): CountedStore {
  let running = 0
  const waiting = new Set<() => void>()
  const begin = (): (() => void) => {
    running++
    let ended = false
    return () => {
      if (ended) return
      ended = true
      running--
      if (running > 0) return
      for (const resolve of waiting) resolve()
      waiting.clear()
    }
  }
  const counted = async <T>(work: () => Promise<T>): Promise<T> => {
    const end = begin()
    try {
      return await work()
    } finally {
      end()
    }
  }
  return {
    description: store.description,
    stat: (key, signal) => counted(() => store.stat(key, signal)),
    async read(key, options) {
      const end = begin()
      try {
        const read = await store.read(key, options)
        return { ...read, body: countedBody(read.body, options.signal, end) }
      } catch (error) {
        end()
        throw error
      }
    },
    write: (key, body, options) => counted(() => store.write(key, body, options)),
    list: (prefix, options) => counted(() => store.list(prefix, options)),
    remove: (key, signal) => counted(() => store.remove(key, signal)),
    close: () => store.close(),
    idle: () => {
      if (running === 0) return Promise.resolve()
      return new Promise((resolve) => waiting.add(resolve))
    },
  }
}

function countedBody(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  ended: () => void,
): AsyncIterable<Uint8Array> {
  const end = () => {
    signal.removeEventListener('abort', end)
    ended()
  }
  if (signal.aborted) end()
  else signal.addEventListener('abort', end, { once: true })
  return {
    [Symbol.asyncIterator]() {
      const iterator = body[Symbol.asyncIterator]()
      return {
        async next() {
          try {
            const result = await iterator.next()
            if (result.done) end()
            return result
          } catch (error) {
            end()
            throw error
          }
        },
        async return() {
          try {
            await iterator.return?.()
          } finally {
            end()
          }
          return { done: true, value: undefined }
        },
      }
    },
  }
}
