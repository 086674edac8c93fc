import { expect, test } from 'vitest'
import { KnownRequests } from '../../server/edge/known-requests.ts'
import { matchRequest } from '../../server/edge/match-request.ts'
import { readRequestHead } from '../../server/edge/request-head.ts'
import { behavior, message, scriptedOrigin } from '../support/edge-fixture.ts'

const distributions = [
  {
    kind: 'web' as const,
    id: 'default',
    enabled: true,
    hosts: ['*'],
    defaultRootObject: '',
    behaviors: [behavior()],
  },
]
const origin = scriptedOrigin('site', () => message(200))

function headOf(i: number, fields: number): string {
  const more = Array.from({ length: fields }, (_, at) => `X-${at}: ${i}\r\n`).join('')
  return `GET /file-${i} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`
}

function keep(requests: KnownRequests, head: string): void {
  const request = readRequestHead(head)
  if (!request) throw new Error('not a plain request')
  const match = matchRequest({ ...request, distributions, origins: () => origin })
  if (match.kind !== 'matched') throw new Error('no match')
  const { exchange } = match
  requests.keep(head, { request, exchange, distributions, age: -1, ttl: -1 })
}

test('the bound of bytes counts what is kept for a request beside its own bytes', () => {
  const requests = new KnownRequests(1000, 64 * 1024)
  for (let i = 0; i < 200; i++) keep(requests, headOf(i, 60))
  // 62 fields and the objects they lie in, by heap: 5.5 to 8.4 kB each where a head has 1.4 kB.
  expect(requests.size).toBe(8)
  expect(requests.bytes).toBeLessThanOrEqual(64 * 1024)
  expect(requests.get(headOf(199, 60))).toBeDefined()
  expect(requests.get(headOf(0, 60))).toBeUndefined()
})

test('what is kept anew or forgotten counts once or not at all', () => {
  const requests = new KnownRequests(2, 64 * 1024)
  keep(requests, headOf(1, 1))
  const { bytes } = requests
  keep(requests, headOf(1, 1))
  expect([requests.size, requests.bytes]).toEqual([1, bytes])
  for (let i = 2; i < 5; i++) keep(requests, headOf(i, 1))
  expect([requests.size, requests.bytes]).toEqual([2, 2 * bytes])
  for (let i = 0; i < 5; i++) requests.forget(headOf(i, 1))
  expect([requests.size, requests.bytes]).toEqual([0, 0])
})
