import type { SourceFailure } from './probe-source.ts'

/** Distances of a live picture from the newest media the server has. Seconds. */
export interface LiveFacts {
  /** From the picture on screen to the live edge. */
  readonly latencySeconds: number
  /** From the picture's own clock (program date-time) to now; undefined when the stream carries none or the clocks disagree. */
  readonly clockLatencySeconds: number | undefined
  /** How far behind the edge the server asks players to stay. */
  readonly targetSeconds: number
  /** How far back the playlist reaches. */
  readonly windowSeconds: number
  /** Kept at the edge; false after the viewer paused or went back. */
  readonly following: boolean
}

export type EngineEvent =
  /** The source is understood: playing can be asked for. */
  | { readonly kind: 'ready' }
  /** `live` is now known, or changed because the stream ended. */
  | { readonly kind: 'live'; readonly live: boolean }
  /** The engine gave up; the last picture stays until it is closed. */
  | { readonly kind: 'failed'; readonly failure: SourceFailure }

/** Brings one source to one video element, until closed. */
export interface Engine {
  /** undefined while the source is not known to be live. */
  live(): LiveFacts | undefined
  /** Jumps to the live edge and stays there. */
  goLive(): void
  /** Stops fetching (`true`), and starts again at the live edge or where it was. */
  suspend(suspended: boolean): void
  close(): void
}

export interface EngineOptions {
  readonly src: string
  /** Seconds; undefined: the source's own start. */
  readonly startSeconds: number | undefined
  /** Aborted: nothing is opened any more, and the video is left to whoever has it by then. */
  readonly signal: AbortSignal
  readonly onEvent: (event: EngineEvent) => void
}
