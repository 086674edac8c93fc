import type { Colour, ContentLight, MasteringDisplay } from './colour.ts'

export type VideoCodec = 'avc' | 'hevc' | 'av1' | 'vp9'
export type AudioCodec = 'aac' | 'mp3' | 'opus' | 'flac' | 'ac3' | 'eac3'

interface TrackBase {
  /** 1-based, unique in its stream or file; also the track_ID in CMAF made of it. */
  readonly id: number
  /** RFC 6381, for example `avc1.64001f` or `mp4a.40.2`. */
  readonly codecString: string
  /** Ticks a second of this track's frame times. */
  readonly timescale: number
  /**
   * The decoder configuration as its container box holds it, without version and flags: the payload of avcC, hvcC, av1C,
   * vpcC, dOps, dfLa, dac3 or dec3; AudioSpecificConfig for AAC; nothing for MP3.
   */
  readonly config: Uint8Array
  /** BCP 47, `und` when unknown. */
  readonly language: string
}

export interface VideoTrack extends TrackBase {
  readonly kind: 'video'
  readonly codec: VideoCodec
  /** Coded picture size after cropping, in pixels. */
  readonly width: number
  readonly height: number
  /** Width : height of one pixel; [1, 1] when square or unknown. */
  readonly pixelAspect: readonly [number, number]
  /** Clockwise, from the container. */
  readonly rotation: 0 | 90 | 180 | 270
  /** Of live streams; stored films have it in a sample entry that is copied whole. */
  readonly colour?: Colour | undefined
  readonly mastering?: MasteringDisplay | undefined
  readonly contentLight?: ContentLight | undefined
}

export interface AudioTrack extends TrackBase {
  readonly kind: 'audio'
  readonly codec: AudioCodec
  readonly sampleRate: number
  readonly channels: number
}

export type Track = VideoTrack | AudioTrack
