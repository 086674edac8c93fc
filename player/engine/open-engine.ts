import type { Engine, EngineOptions } from './engine.ts'
import { openHls } from './hls-engine.ts'
import type { NearcastVideo } from './media-element.ts'
import { openNative } from './native-engine.ts'
import { isPlaylist } from './probe-source.ts'

/**
 * The engine for a source. Playlists go to hls.js wherever Media Source Extensions exist: Chromium says "maybe" to HLS
 * of its own and is then seconds later; the browser's own HLS is for those that have nothing else. Throws when hls.js
 * cannot be fetched, or when aborted meanwhile.
 */
export async function openEngine(video: NearcastVideo, options: EngineOptions): Promise<Engine> {
  const hls = isPlaylist(options.src) ? await openHls(video, options) : undefined
  return hls ?? openNative(video, options)
}
