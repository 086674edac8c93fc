import { CustomVideoElement } from 'custom-media-element'
import { MediaTracksMixin } from 'media-tracks'

/**
 * `<nearcast-video>`: a video element with what the controls read besides: tracks, renditions, stream type.
 * An element of our own, so that no page's `HTMLMediaElement` is patched.
 */
export class NearcastVideo extends MediaTracksMixin(CustomVideoElement) {
  #streamType: 'live' | 'on-demand' | 'unknown' = 'unknown'
  #targetLiveWindow = Number.NaN

  /** Read by the controls (media-ui-extensions: streamType). */
  get streamType(): 'live' | 'on-demand' | 'unknown' {
    return this.#streamType
  }
  /** Seconds of rewind offered; 0: none, NaN: not live. */
  get targetLiveWindow(): number {
    return this.#targetLiveWindow
  }
  /** The controls only need to know; the engine decides. */
  get liveEdgeStart(): number {
    return this.#streamType === 'live' ? this.seekableEnd - 10 : Number.NaN
  }
  get seekableEnd(): number {
    const ranges = this.nativeEl.seekable
    return ranges.length === 0 ? 0 : ranges.end(ranges.length - 1)
  }

  setStreamType(type: 'live' | 'on-demand' | 'unknown', windowSeconds: number): void {
    if (type !== this.#streamType) {
      this.#streamType = type
      this.dispatchEvent(new Event('streamtypechange'))
    }
    if (!Object.is(windowSeconds, this.#targetLiveWindow)) {
      this.#targetLiveWindow = windowSeconds
      this.dispatchEvent(new Event('targetlivewindowchange'))
    }
  }
}

export function defineMediaElement(): void {
  if (!customElements.get('nearcast-video')) customElements.define('nearcast-video', NearcastVideo)
}
