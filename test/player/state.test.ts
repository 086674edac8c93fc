import { describe, expect, it } from 'vitest'
import { announce, describeState } from '../../player/store/describe-state.ts'
import { deriveState, type Facts, type PlayerState, retries } from '../../player/store/state.ts'
import {
  type FailureKind,
  failureOf,
  type SourceFailure,
} from '../../player/engine/probe-source.ts'

const PLAYING: Facts = {
  online: true,
  ready: true,
  live: false,
  expectsLive: false,
  failure: undefined,
  attempts: 0,
  started: true,
  wantsPlay: true,
  paused: false,
  ended: false,
  stalledMs: 0,
  failedMs: 0,
  following: true,
}
const failure = (kind: FailureKind): SourceFailure => ({ kind, code: 'c', message: 'm' })

describe('the state', () => {
  const rows: readonly [string, Partial<Facts>, Partial<PlayerState>][] = [
    ['stored media plays', {}, { kind: 'playing' }],
    ['a live stream at its edge', { live: true }, { kind: 'live' }],
    ['a live stream the viewer went back in', { live: true, following: false }, { kind: 'behind' }],
    ['paused by the viewer', { paused: true, wantsPlay: false }, { kind: 'paused', started: true }],
    [
      'nobody asked to play',
      { ready: false, started: false, wantsPlay: false, paused: true },
      { kind: 'paused', started: false },
    ],
    ['nothing is loaded yet', { ready: false, started: false }, { kind: 'loading' }],
    ['loaded, no picture yet', { started: false, paused: true }, { kind: 'loading' }],
    ['a short stall of live', { live: true, stalledMs: 1000 }, { kind: 'live' }],
    ['a stall of live', { live: true, stalledMs: 3000 }, { kind: 'reconnecting', dropped: true }],
    [
      'a long stall of live',
      { live: true, stalledMs: 11_000 },
      { kind: 'reconnecting', long: true },
    ],
    ['buffering of stored media', { stalledMs: 3000 }, { kind: 'playing' }],
    [
      'not live yet',
      { failure: failure('not-live'), started: false },
      { kind: 'waiting', dropped: false },
    ],
    [
      'the publisher just went away',
      { failure: failure('not-live'), live: true, failedMs: 5000 },
      { kind: 'reconnecting', long: false, dropped: true },
    ],
    [
      'a stall of live without a network',
      { live: true, stalledMs: 3000, online: false },
      { kind: 'reconnecting', dropped: false },
    ],
    [
      'the publisher stays away',
      { failure: failure('not-live'), live: true, failedMs: 11_000 },
      { kind: 'waiting', dropped: true },
    ],
    ['the end of a film', { ended: true, paused: true }, { kind: 'ended', live: false }],
    ['the end of a stream', { ended: true, live: true }, { kind: 'ended', live: true }],
    ['a broken network', { failure: failure('network'), attempts: 1 }, { kind: 'reconnecting' }],
    [
      'a broken network before the first picture',
      { failure: failure('network'), attempts: 3, started: false },
      { kind: 'error', error: 'network' },
    ],
    [
      'no network before the first picture',
      { online: false, started: false, ready: false },
      { kind: 'error', error: 'offline' },
    ],
    ['refused media', { failure: failure('unsupported') }, { kind: 'error', error: 'unsupported' }],
  ]
  it.each(rows)('%s', (_, facts, state) => {
    expect(deriveState({ ...PLAYING, ...facts })).toMatchObject(state)
  })

  it('asks again for what may come, and not for what will not', () => {
    const asks = (kind: FailureKind, more: Partial<Facts> = {}) =>
      retries({ ...PLAYING, ...more, failure: failure(kind) })
    expect(asks('not-live', { attempts: 1000 })).toBe(true)
    expect(asks('network', { attempts: 1000, live: true })).toBe(true)
    expect(asks('network', { attempts: 1000, expectsLive: true })).toBe(true)
    expect(asks('network', { attempts: 6 })).toBe(false)
    expect(asks('not-found')).toBe(false)
    expect(asks('unsupported')).toBe(false)
  })
})

describe('the card over the picture', () => {
  const errors = ['not-found', 'forbidden', 'unsupported', 'decode', 'network', 'offline'] as const
  const covering: readonly PlayerState[] = [
    { kind: 'waiting', dropped: false },
    { kind: 'waiting', dropped: true },
    { kind: 'reconnecting', long: true, dropped: false },
    { kind: 'reconnecting', long: true, dropped: true },
    { kind: 'ended', live: true },
    { kind: 'ended', live: false },
    ...errors.map(
      (error) => ({ kind: 'error', error, code: 'c', message: '', retrying: false }) as const,
    ),
  ]
  it.each(covering)('has one sentence and one action for %o', (state) => {
    const card = describeState(state)
    expect(card?.sentence).toMatch(/[.…]$/)
    expect(card?.action?.label).toMatch(/\w/)
    expect(announce(state)).toContain(card?.sentence)
  })
  it('is not there while the picture speaks for itself', () => {
    for (const kind of ['live', 'behind', 'playing'] as const)
      expect(describeState({ kind })).toBeUndefined()
  })
  it('gives the server’s reason for refused media', () => {
    const card = describeState({
      kind: 'error',
      error: 'unsupported',
      code: 'media-unsupported',
      message: 'old.avi: AVI is not read',
      retrying: false,
    })
    expect(card?.detail).toBe('old.avi: AVI is not read')
  })
  it('says that it keeps trying for a live stream whose server does not answer', () => {
    const away = { ...PLAYING, failure: failure('network'), attempts: 9, started: false }
    const detail = (facts: Facts) => describeState(deriveState(facts))?.detail
    expect(detail({ ...away, expectsLive: true })).toContain('keeps trying')
    expect(detail(away)).toBe('The server did not answer.')
  })
  it.each([
    [502, 'store-denied', 'The server could not reach its storage.'],
    [504, 'store-unreachable', 'The server could not reach its storage.'],
    [502, 'bucket-not-found', 'The server could not reach its storage.'],
    [504, 'origin-timeout', 'The server could not reach its source.'],
    [503, 'unavailable', 'The server is not ready yet.'],
    [502, '', 'The server answered with an error.'],
  ])('says of a %i with the code "%s" that the server answered', (status, code, sentence) => {
    const body = code === '' ? undefined : { code, message: 'the meaning' }
    const facts = {
      ...PLAYING,
      started: false,
      attempts: 2,
      failure: failureOf(status, body, false),
    }
    expect(describeState(deriveState(facts))?.detail).toBe(
      `${sentence} The player keeps trying by itself.`,
    )
    expect(retries(facts)).toBe(true)
    expect(describeState(deriveState({ ...facts, attempts: 9 }))?.detail).toBe(sentence)
  })
  it('says that the stream was interrupted, not that the network is', () => {
    const state = deriveState({ ...PLAYING, live: true, stalledMs: 3000 })
    expect(announce(state)).toBe(
      'The stream was interrupted. It goes on by itself when it is back.',
    )
  })
})
