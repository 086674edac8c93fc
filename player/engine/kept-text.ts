import type Hls from 'hls.js'
import type { HlsConfig, LoaderCallbacks, LoaderConfiguration, LoaderContext } from 'hls.js'
import { browserClock } from './clock.ts'

/** A playlist as it came. Milliseconds on the monotonic clock. */
export interface KeptText {
  readonly text: string
  /** After redirects. */
  readonly url: string
  readonly askedAt: number
  readonly firstAt: number
  readonly endAt: number
}

const TEXT_MOST = 8_000_000

/** Throws on any answer that is no playlist. */
export async function fetchText(url: string, signal: AbortSignal): Promise<KeptText> {
  const askedAt = browserClock.monotonic()
  const response = await fetch(url, { signal })
  const firstAt = browserClock.monotonic()
  if (!response.ok) throw new Error(`status ${response.status}`)
  const text = await response.text()
  if (text.length > TEXT_MOST) throw new Error('too long')
  return { text, url: response.url, askedAt, firstAt, endAt: browserClock.monotonic() }
}

/** hls.js's loader of playlists, which has each kept text once, and asks the server for all else. */
export function loaderOf(
  player: typeof Hls,
  texts: ReadonlyMap<string, KeptText>,
): HlsConfig['loader'] {
  const left = new Map(texts)
  return class extends player.DefaultConfig.loader {
    #stopped = false

    override load(
      context: LoaderContext,
      config: LoaderConfiguration,
      callbacks: LoaderCallbacks<LoaderContext>,
    ): void {
      const kept = left.get(context.url)
      if (!kept) {
        super.load(context, config, callbacks)
        return
      }
      left.delete(context.url)
      const { stats } = this
      stats.loading = { start: kept.askedAt, first: kept.firstAt, end: kept.endAt }
      stats.loaded = stats.total = kept.text.length
      queueMicrotask(() => {
        if (this.#stopped) return
        callbacks.onSuccess({ url: kept.url, data: kept.text, code: 200 }, stats, context, null)
      })
    }

    override abort(): void {
      this.#stopped = true
      super.abort()
    }

    override destroy(): void {
      this.#stopped = true
      super.destroy()
    }
  }
}
