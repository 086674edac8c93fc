import type { Channel, ChannelState } from './channel.ts'
import { measure } from './multivariant.ts'
import type { Rendition } from './segment.ts'

export interface RenditionDescription {
  readonly id: string
  readonly kind: 'video' | 'audio'
  readonly codec: string
  readonly width: number | undefined
  readonly height: number | undefined
  readonly channels: number | undefined
  readonly bitsPerSecond: number
  readonly segments: number
  readonly parts: number
  /** Date of the end of its newest part, milliseconds since 1970; undefined before the first. */
  readonly ends: number | undefined
}

/** A live stream as the API shows it. Seconds, bits and frames a second; undefined where it is not known yet. */
export interface LiveDescription {
  readonly name: string
  readonly state: ChannelState
  readonly epoch: string
  readonly startedAt: number | undefined
  /** Of its window, milliseconds since 1970. */
  readonly bornAt: number
  readonly renditions: readonly RenditionDescription[]
  readonly bitsPerSecond: number
  readonly framesPerSecond: number | undefined
  readonly keyFrameIntervalSeconds: number | undefined
  readonly partTargetSeconds: number | undefined
  readonly targetDurationSeconds: number | undefined
  readonly discontinuities: number
  readonly windowBytes: number
  /** Requests that wait for the next part: about one for each viewer and rendition in this process. */
  readonly waitingRequests: number
  /** About how many watch through this process. */
  readonly viewers: number
}

export function describeChannel(channel: Channel, now: number): LiveDescription {
  const { window, segmenter, stream } = channel
  const renditions = window.renditions
    .filter((rendition) => !rendition.retired)
    .map((rendition) => describeRendition(rendition, measure(window, rendition).averageBandwidth))
  const positive = (value: number | undefined) => (value ? value : undefined)
  return {
    name: channel.name,
    state: channel.state,
    epoch: window.epoch,
    startedAt: stream?.startedAt,
    bornAt: window.bornAt,
    renditions,
    bitsPerSecond: renditions.reduce((sum, rendition) => sum + rendition.bitsPerSecond, 0),
    framesPerSecond: positive(segmenter?.facts.framesPerSecond),
    keyFrameIntervalSeconds: positive(segmenter?.facts.keyFrameIntervalSeconds),
    partTargetSeconds: window.partTargetSeconds,
    targetDurationSeconds: window.currentTarget,
    discontinuities: Math.max(
      0,
      ...window.renditions.map(({ segments }) => segments.at(-1)?.discontinuitySequence ?? 0),
    ),
    windowBytes: window.byteLength,
    waitingRequests: window.waiting,
    viewers: window.audience.count(now),
  }
}

function describeRendition(rendition: Rendition, bitsPerSecond: number): RenditionDescription {
  const { kind, codecString, width, height, channels } = rendition.facts
  const video = kind === 'video'
  const last = rendition.segments.at(-1)
  return {
    id: rendition.id,
    kind,
    codec: codecString,
    width: video ? width : undefined,
    height: video ? height : undefined,
    channels: video ? undefined : channels,
    bitsPerSecond,
    segments: rendition.segments.length,
    parts: rendition.segments.reduce((sum, segment) => sum + segment.parts.length, 0),
    ends: last && last.startedAt + last.durationSeconds * 1000,
  }
}
