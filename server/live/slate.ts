import type { VideoTrack } from '../codecs/track.ts'

/** What is shown while nobody publishes: one group of pictures, its key frame first and none reordered; it is repeated. */
export interface SlatePicture {
  readonly track: VideoTrack
  readonly frames: readonly { readonly key: boolean; readonly data: Uint8Array }[]
}

/** What a slate must be like to stand in for a picture. */
export interface SlateWish {
  readonly codec: VideoTrack['codec']
  readonly codecString: string
  readonly width: number
  readonly height: number
  /** A whole number: the group is one second long. */
  readonly framesPerSecond: number
}

/** Makes a slate in the background; undefined when it can't be made here. Rejects only when it is aborted. */
export type MakeSlate = (wish: SlateWish, signal: AbortSignal) => Promise<SlatePicture | undefined>
