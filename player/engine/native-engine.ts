import type { Engine, EngineOptions } from './engine.ts'
import type { NearcastVideo } from './media-element.ts'
import { networkFailure, type SourceFailure } from './probe-source.ts'

/** What the browser plays by itself: MP4 and other files, and HLS where there are no Media Source Extensions (iPhone). */
export function openNative(video: NearcastVideo, options: EngineOptions): Engine {
  const native = video.nativeEl
  let live: boolean | undefined
  const onMetadata = () => {
    live = native.duration === Number.POSITIVE_INFINITY
    video.setStreamType(live ? 'live' : 'on-demand', live ? 0 : Number.NaN)
    if (options.startSeconds !== undefined && !live) native.currentTime = options.startSeconds
    options.onEvent({ kind: 'live', live })
    options.onEvent({ kind: 'ready' })
  }
  const onError = () => {
    const failure = failureOfMedia(native.error)
    if (failure) options.onEvent({ kind: 'failed', failure })
  }
  native.addEventListener('loadedmetadata', onMetadata)
  native.addEventListener('error', onError)
  native.src = options.src
  native.load()

  return {
    live: () => undefined,
    goLive: () => {
      if (live) native.currentTime = video.seekableEnd
    },
    suspend: () => {},
    close: () => {
      native.removeEventListener('loadedmetadata', onMetadata)
      native.removeEventListener('error', onError)
      native.removeAttribute('src')
      native.load()
      video.setStreamType('unknown', Number.NaN)
    },
  }
}

/** HTML §4.8.11.1: the four codes of MediaError. */
function failureOfMedia(error: MediaError | null): SourceFailure | undefined {
  if (!error || error.code === MediaError.MEDIA_ERR_ABORTED) return undefined
  if (error.code === MediaError.MEDIA_ERR_NETWORK) return networkFailure(new Error(error.message))
  const kind = error.code === MediaError.MEDIA_ERR_DECODE ? 'decode' : 'unsupported'
  return { kind, code: `media-error-${error.code}`, message: error.message.slice(0, 300) }
}
