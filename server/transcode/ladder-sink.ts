import type { Frame } from '../codecs/frame.ts'
import type { VideoTrack } from '../codecs/track.ts'
import type { Encoder } from './encoder.ts'
import type { PlannedRung } from './ladder-plan.ts'

/** Where a ladder brings its rungs; `live/rung.ts` says what each call means. */
export interface LadderSink {
  announce(rungs: readonly AnnouncedRung[]): void
  onTrack(id: string, track: VideoTrack): void
  onFrame(id: string, frame: Frame): void
  onLost(id: string): void
}

export interface AnnouncedRung {
  readonly id: string
  readonly facts: {
    readonly kind: 'video'
    readonly codecString: string
    readonly width: number
    readonly height: number
    readonly channels: 0
    readonly language: string
  }
  readonly bitsPerSecond: number
}

/** A ladder as the operator sees it. */
export interface LadderReport {
  /** `reduced`: less than was planned, for `reason`. */
  readonly state: 'starting' | 'on' | 'reduced' | 'off'
  readonly reason?: string
  readonly encoder?: string
  readonly rungs: readonly {
    readonly id: string
    readonly width: number
    readonly height: number
    readonly bitsPerSecond: number
    readonly delayMs?: number
  }[]
  /** Times that ffmpeg was started again. */
  readonly restarts: number
}

/** What a rung of this encoder will be. */
export function announcedRung(rung: PlannedRung, { codecPrefix }: Encoder): AnnouncedRung {
  const { id, width, height, bitsPerSecond, level } = rung
  const codecString = codecPrefix + level.toString(16).padStart(2, '0')
  return {
    id,
    bitsPerSecond,
    facts: {
      kind: 'video',
      codecString,
      width,
      height,
      channels: 0,
      language: 'und',
    },
  }
}
