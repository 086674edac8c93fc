import type { QueueLimits } from './player-queue.ts'

export type SessionState =
  | 'handshake'
  | 'idle'
  /** Its key is right, and somebody else is asked whether it may publish. */
  | 'deciding'
  | 'publishing'
  | 'playing'
  | 'paused'
  | 'closed'

export const TRANSITIONS: Readonly<Record<SessionState, readonly SessionState[]>> = {
  handshake: ['idle', 'closed'],
  idle: ['deciding', 'publishing', 'playing', 'closed'],
  deciding: ['publishing', 'idle', 'closed'],
  publishing: ['idle', 'closed'],
  playing: ['paused', 'idle', 'closed'],
  paused: ['playing', 'idle', 'closed'],
  closed: [],
}

/** States whose beginning and end an operator wants to see. */
export const ACTIVE: ReadonlySet<SessionState> = new Set(['publishing', 'playing', 'paused'])

/** One connection as the API shows it; never with its key. */
export interface SessionInfo {
  readonly id: number
  readonly remote: string
  readonly state: SessionState
  /** What is published or played. */
  readonly name: string | undefined
  /** The program, as it calls itself. */
  readonly agent: string
  /** Milliseconds since 1970. */
  readonly connectedAt: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Lost by a slow player, or sent unusable by a publisher. */
  readonly droppedFrames: number
}

export interface SessionLimits {
  /** C0 to C2 take two round trips; who needs longer is not there. */
  readonly handshakeMs: number
  /** From the handshake, or the end of a stream, to publish or play. */
  readonly idleMs: number
  /** Encoders send sound each 21 ms; after so long without a frame, whatever else comes, the publisher is lost. */
  readonly silentMs: number
  /** A player whose socket took nothing for so long is cut. */
  readonly stalledMs: number
  readonly queue: QueueLimits
}

/** The longest time that has passed in a state, and what is then said; undefined while all is well. */
export function overdue(
  state: SessionState,
  limits: SessionLimits,
  since: { readonly stateMs: number; readonly frameMs: number; readonly stalledMs: number },
): string | undefined {
  switch (state) {
    case 'handshake':
      return since.stateMs >= limits.handshakeMs ? 'no handshake' : undefined
    case 'idle':
      return since.stateMs >= limits.idleMs ? 'neither published nor played' : undefined
    case 'publishing':
      return since.frameMs >= limits.silentMs ? 'the publisher fell silent' : undefined
    case 'playing':
    case 'paused':
      return since.stalledMs >= limits.stalledMs ? 'the player stopped reading' : undefined
    case 'deciding': // Who is asked has a deadline of its own.
    case 'closed':
      return undefined
  }
}
