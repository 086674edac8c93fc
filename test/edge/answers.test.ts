import { afterEach, expect, test } from 'vitest'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'

let edge: EdgeFixture
afterEach(() => edge.close())

test('the second viewer of a page is answered from the cache with Age and Cache-Status', async () => {
  const origin = scriptedOrigin('site', () =>
    message(200, { 'content-type': 'text/html', 'cache-control': 'max-age=60' }, text('hello')),
  )
  edge = await startEdge({ origins: [origin] })

  const first = await edge.ask('/a.html')
  await edge.clock.advance(5000)
  const second = await edge.ask('/a.html')

  expect(first).toMatchObject({ status: 200, text: 'hello' })
  expect(first.headers).toMatchObject({
    'content-type': 'text/html',
    'content-length': '5',
    'cache-status': 'nearcast; fwd=uri-miss; stored; ttl=60',
    'x-cache': 'Miss from nearcast',
    via: '1.1 nearcast',
  })
  expect(first.headers.age).toBeUndefined()
  expect(second).toMatchObject({ status: 200, text: 'hello' })
  expect(second.headers).toMatchObject({
    age: '5',
    'cache-status': 'nearcast; hit; ttl=55',
    'x-cache': 'Hit from nearcast',
    date: first.headers.date,
  })
  expect(second.headers['x-nearcast-request-id']).not.toBe(first.headers['x-nearcast-request-id'])
  expect(origin.requests).toHaveLength(1)
})
