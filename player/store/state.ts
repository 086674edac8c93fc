import type { SourceFailure } from '../engine/probe-source.ts'

export type ErrorKind = 'not-found' | 'forbidden' | 'unsupported' | 'decode' | 'network' | 'offline'

/** What the player is doing, as one of ten; derived from facts, never set. */
export type PlayerState =
  | { readonly kind: 'loading' }
  /** The stream is not live yet, or not any more; the player asks again by itself. */
  | { readonly kind: 'waiting'; readonly dropped: boolean }
  | { readonly kind: 'live' }
  | { readonly kind: 'behind' }
  | { readonly kind: 'playing' }
  | { readonly kind: 'paused'; readonly started: boolean }
  /** `dropped`: the server answers, and what is missing is the publisher. */
  | { readonly kind: 'reconnecting'; readonly long: boolean; readonly dropped: boolean }
  | { readonly kind: 'ended'; readonly live: boolean }
  | {
      readonly kind: 'error'
      readonly error: ErrorKind
      readonly code: string
      readonly message: string
      /** The player asks again by itself. */
      readonly retrying: boolean
    }

/** Everything the state is derived from. */
export interface Facts {
  /** The browser believes that it has a network. */
  readonly online: boolean
  /** The engine understood the source. */
  readonly ready: boolean
  /** Whether the source is live; sticky when the stream ends. */
  readonly live: boolean
  /** The page says that it is live; before anything is loaded nothing else is known. */
  readonly expectsLive: boolean
  readonly failure: SourceFailure | undefined
  /** Attempts since the failure. */
  readonly attempts: number
  /** A picture was shown. */
  readonly started: boolean
  /** Playing was asked for, by the viewer or by autoplay. */
  readonly wantsPlay: boolean
  readonly paused: boolean
  readonly ended: boolean
  /** Milliseconds for which the picture has stood still although it should move. */
  readonly stalledMs: number
  /** Milliseconds since the failure. */
  readonly failedMs: number
  readonly following: boolean
}

/** A pause of the network that nobody needs to be told of. */
const LIVE_PATIENCE_MS = 2000
const STORED_PATIENCE_MS = 8000
/** A publisher that is back within this keeps its last picture on screen. */
const DROP_MS = 10_000
const ATTEMPT_LIMIT = 6

/** The state that follows from the facts. */
export function deriveState(facts: Facts): PlayerState {
  if (facts.ended) return { kind: 'ended', live: facts.live }
  if (facts.failure) return stateOfFailure(facts, facts.failure)
  if (!facts.online && !facts.started && facts.wantsPlay) return offline
  if (!facts.ready)
    return facts.wantsPlay ? { kind: 'loading' } : { kind: 'paused', started: false }
  if (facts.paused && !(facts.wantsPlay && !facts.started))
    return { kind: 'paused', started: facts.started }
  const patience = facts.live ? LIVE_PATIENCE_MS : STORED_PATIENCE_MS
  if (facts.started && facts.stalledMs > patience)
    return {
      kind: 'reconnecting',
      long: facts.stalledMs > DROP_MS,
      dropped: facts.live && facts.online,
    }
  if (!facts.started) return { kind: 'loading' }
  if (!facts.live) return { kind: 'playing' }
  return { kind: facts.following ? 'live' : 'behind' }
}

/** Whether it is worth asking again by itself. */
export function retries(facts: Facts): boolean {
  const kind = facts.failure?.kind
  if (kind === 'not-live') return true
  return kind === 'network' && (facts.live || facts.expectsLive || facts.attempts < ATTEMPT_LIMIT)
}

const offline: PlayerState = {
  kind: 'error',
  error: 'offline',
  code: 'offline',
  message: '',
  retrying: true,
}

function stateOfFailure(facts: Facts, failure: SourceFailure): PlayerState {
  const long = facts.failedMs > DROP_MS
  switch (failure.kind) {
    case 'not-live':
      if (facts.started && !long) return { kind: 'reconnecting', long: false, dropped: true }
      return { kind: 'waiting', dropped: facts.started }
    case 'network':
      if (!facts.online && !facts.started) return offline
      if (retries(facts) && facts.started) return { kind: 'reconnecting', long, dropped: false }
      if (retries(facts) && facts.attempts < 2) return { kind: 'loading' }
      return { ...errorOf(failure, 'network'), retrying: retries(facts) }
    case 'not-found':
    case 'forbidden':
    case 'unsupported':
    case 'decode':
      return errorOf(failure, failure.kind)
  }
}

function errorOf(failure: SourceFailure, error: ErrorKind) {
  const { code, message } = failure
  return { kind: 'error', error, code, message, retrying: false } as const
}
