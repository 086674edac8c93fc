import type Hls from 'hls.js'
import type { HlsConfig, LevelLoadedData } from 'hls.js'
import { loaderOf } from './kept-text.ts'
import type { Opened, Opening } from './opening.ts'

export interface HandOver {
  readonly config: Partial<HlsConfig>
  /** Call before `loadSource`. */
  attach(hls: Hls): void
  /** Call after hls.js was destroyed. */
  close(): void
}

/**
 * Lets hls.js go on with what was opened as if it had begun it itself: same buffers, same playlists, same clock. The opening
 * feeds the buffers until hls.js knows what comes next.
 */
export function handOver(
  player: typeof Hls,
  media: HTMLVideoElement,
  opening: Opening,
  { source, texts, start }: Opened,
): HandOver {
  const { Events } = player
  let adopt: (data: LevelLoadedData) => void = () => {}

  class StreamController extends player.DefaultConfig.streamController {
    constructor(...parameters: ConstructorParameters<HlsConfig['streamController']>) {
      super(...parameters)
      adopt = (data) => this.#adopt(data)
    }

    /** The offset that the first fragment gave, for picture and sound: none is looked for in what comes after it. */
    #adopt({ details }: LevelLoadedData): void {
      const [frag] = details.fragments
      if (!frag || this.initPTS.length > 0) return
      this.initPTS[frag.cc] = start
      this.hls.trigger(Events.INIT_PTS_FOUND, {
        timestampOffsets: this.initPTS.slice(0),
        frag,
        id: frag.type,
        initPTS: start.baseTime,
        timescale: start.timescale,
        trackId: start.trackId,
      })
    }
  }

  async function take(hls: Hls): Promise<void> {
    const useful = await opening.release()
    // Destroyed meanwhile.
    if (!hls.url) return
    if (useful) hls.attachMedia({ media, mediaSource: source })
    else hls.attachMedia(media)
  }

  return {
    // Without a media element nothing is to be fetched yet but playlists.
    config: {
      streamController: StreamController,
      loader: loaderOf(player, texts),
      startFragPrefetch: false,
    },
    attach(hls) {
      const heard = new Promise((resolve) => hls.once(Events.AUDIO_TRACK_LOADED, resolve))
      hls.once(Events.LEVEL_LOADED, (_, data) => {
        adopt(data)
        const apart = hls.audioTracks.some((track) => track.url !== '')
        void Promise.resolve(apart ? heard : undefined).then(() => take(hls))
      })
    },
    close: () => opening.close(),
  }
}
