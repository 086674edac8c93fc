import { expect, test } from 'vitest'
import type { ObjectFacts } from '../../server/cache/stored-object.ts'
import { InvalidationIndex } from '../../server/distribution/invalidation-index.ts'
import { type DecideInput, decide, mayServeOnError } from '../../server/edge/decide.ts'
import { behavior } from '../support/edge-fixture.ts'

const NOW = Date.UTC(2026, 0, 1)

function facts(age: number, cacheControl: string, more: Partial<ObjectFacts> = {}): ObjectFacts {
  return {
    distribution: 'default',
    path: '/a',
    method: 'GET',
    status: 200,
    responseFields: { 'cache-control': cacheControl, etag: '"v1"' },
    requestTime: NOW - age * 1000,
    responseTime: NOW - age * 1000,
    authorized: false,
    flat: [],
    stamp: { epoch: 'e', seq: 5, localSeq: 0 },
    ...more,
  }
}

function input(stored: ObjectFacts | undefined, more: Partial<DecideInput> = {}): DecideInput {
  return {
    headers: {},
    behavior: behavior(),
    object: stored && { facts: stored, restUntil: 0 },
    changes: { epoch: 'e', log: new InvalidationIndex(), local: new InvalidationIndex() },
    now: NOW,
    ...more,
  }
}

test('nothing stored is fetched, fresh is served, stale with a validator is revalidated, without is fetched', () => {
  expect(decide(input(undefined))).toEqual({ kind: 'fetch', reason: 'uri-miss' })
  expect(decide(input(facts(10, 'max-age=60')))).toEqual({
    kind: 'serve',
    ttlSeconds: 50,
    age: 10,
    refresh: false,
  })
  expect(decide(input(facts(60, 'max-age=60')))).toEqual({ kind: 'revalidate', reason: 'stale' })
  const bare = facts(61, '', { responseFields: { 'cache-control': 'max-age=60' } })
  expect(decide(input(bare))).toEqual({ kind: 'fetch', reason: 'stale' })
})

test('stale-while-revalidate serves and refreshes, not longer than it says', () => {
  const control = 'max-age=60, stale-while-revalidate=10'
  expect(decide(input(facts(69, control)))).toMatchObject({ kind: 'serve', refresh: true })
  expect(decide(input(facts(71, control)))).toMatchObject({ kind: 'revalidate' })
})

test('an invalidation is newer than what was asked before it, and only than that', () => {
  const log = new InvalidationIndex()
  log.add({ seq: 6, distribution: 'default', paths: ['/a'] })
  const changes = { epoch: 'e', log, local: new InvalidationIndex() }
  const later = facts(1, 'max-age=60', { stamp: { epoch: 'e', seq: 6, localSeq: 0 } })

  expect(decide(input(facts(1, 'max-age=60'), { changes }))).toEqual({
    kind: 'fetch',
    reason: 'miss',
  })
  expect(decide(input(later, { changes }))).toMatchObject({ kind: 'serve' })
})

test('viewers have no say under cloudfront semantics, and all of RFC 9111 §5.2.1 under rfc', () => {
  const stored = facts(10, 'max-age=60')
  const ask = (control: string, semantics: 'cloudfront' | 'rfc') =>
    decide(
      input(stored, {
        headers: { 'cache-control': control },
        behavior: behavior({ semantics }),
      }),
    ).kind
  expect(ask('no-cache', 'cloudfront')).toBe('serve')
  expect(ask('no-cache', 'rfc')).toBe('revalidate')
  expect(ask('max-age=5', 'rfc')).toBe('revalidate')
  expect(ask('min-fresh=55', 'rfc')).toBe('revalidate')
  expect(ask('max-age=5, only-if-cached', 'rfc')).toBe('respond')
  expect(ask('max-age=20', 'rfc')).toBe('serve')
})

test('max-stale takes what is stale, unless it must be revalidated', () => {
  const rfc = {
    headers: { 'cache-control': 'max-stale=30' },
    behavior: behavior({ semantics: 'rfc' }),
  }
  expect(decide(input(facts(80, 'max-age=60'), rfc)).kind).toBe('serve')
  expect(decide(input(facts(95, 'max-age=60'), rfc)).kind).toBe('revalidate')
  expect(decide(input(facts(80, 'max-age=60, must-revalidate'), rfc)).kind).toBe('revalidate')
})

test('on an error the old answer may be served, an old error never', () => {
  const may = (stored: ObjectFacts) => mayServeOnError({ facts: stored }, behavior(), NOW)
  expect(may(facts(9999, 'max-age=60'))).toBe(true)
  expect(may(facts(9999, 'max-age=60, stale-if-error=0'))).toBe(false)
  expect(may(facts(9999, 'max-age=60, must-revalidate'))).toBe(false)
  expect(may(facts(9999, 'max-age=60', { status: 503 }))).toBe(false)
})
