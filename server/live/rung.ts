import type { Frame } from '../codecs/frame.ts'
import type { VideoTrack } from '../codecs/track.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import type { RenditionFacts, RenditionId } from './window-event.ts'

/** A rendition that an encoder makes of the publisher's picture. */
export interface Rung {
  /** Part of URLs: lower-case letters and digits, not one of the publisher's own (`video2`, `audio`). */
  readonly id: RenditionId
  /** As it will be: the first master playlist says it before the first picture is encoded. */
  readonly facts: RenditionFacts
  /** The encoder's bound. */
  readonly bitsPerSecond: number
}

/** Where an encoder brings its pictures. They carry the times of the pictures they were made of, in ticks of their track. */
export interface RungSink {
  /** All rungs there will be; said before the first frame. One that is left out later has stopped for good. */
  announce(rungs: readonly Rung[]): void
  /** Before its first frame, and whenever its encoder has begun anew. */
  onTrack(id: RenditionId, track: VideoTrack): void
  onFrame(id: RenditionId, frame: Frame): void
  /** Its encoder has stopped and may come back: nobody waits for it. */
  onLost(id: RenditionId): void
}

/** Makes the rungs of one publish, until it is disposed. Must not throw; what fails is told to the operator elsewhere. */
export type StartLadder = (stream: LiveStream, sink: RungSink) => Disposable
