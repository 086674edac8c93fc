import { afterEach, expect, test } from 'vitest'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { type Log, type LogFields, silentLog } from '../../server/lib/log.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import {
  type EdgeFixture,
  message,
  scriptedOrigin,
  startEdge,
  text,
} from '../support/edge-fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'

let edge: EdgeFixture
afterEach(() => edge.close())

function collect(): { readonly log: Log; readonly lines: LogFields[] } {
  const lines: LogFields[] = []
  const log: Log = { ...silentLog, warn: (_, fields = {}) => void lines.push(fields) }
  return { log, lines }
}

test('what a store says of its bucket goes to the log, the viewer reads the meaning', async () => {
  const { log, lines } = collect()
  const sentence = 'my-videos at http://10.0.0.9:9000: allow these credentials s3:GetObject'
  const store = {
    ...openMemoryStore({ clock: new FakeClock() }),
    read: () => Promise.reject(new NearcastError('store-denied', sentence)),
  }
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)], log })

  const answer = await edge.ask('/a.mp4')
  await edge.ask('/a.mp4')

  expect(answer.status).toBe(502)
  expect(JSON.parse(answer.text)).toMatchObject({
    code: 'store-denied',
    message: 'the object store refused the credentials',
  })
  expect(answer.text).not.toContain('my-videos')
  expect(lines).toMatchObject([
    { origin: 'site', url: '/a.mp4', error: `store-denied: ${sentence}` },
  ])
})

test('an origin that is down leaves one line in 10 s, and then the number of the unwritten', async () => {
  const { log, lines } = collect()
  const origin = scriptedOrigin('site', () => {
    throw new NearcastError('origin-unreachable', '10.0.0.5:3000: connect ECONNREFUSED')
  })
  edge = await startEdge({ origins: [origin], log })

  for (const path of ['/a', '/b', '/c']) expect((await edge.ask(path)).status).toBe(504)
  expect(lines).toMatchObject([{ url: '/a' }])
  await edge.clock.advance(10_000)

  expect(lines.slice(1)).toEqual([{ kind: 'site origin-unreachable', unwritten: 2 }])
})

test('a failure that a stale answer hides is written down too', async () => {
  const { log, lines } = collect()
  let down = false
  const origin = scriptedOrigin('site', () => {
    if (down) throw new NearcastError('origin-unreachable', '10.0.0.5:3000: connect ECONNREFUSED')
    return message(200, { 'cache-control': 'max-age=1', etag: '"a"' }, text('hello'))
  })
  edge = await startEdge({ origins: [origin], log })
  await edge.ask('/a')
  down = true
  await edge.clock.advance(2000)

  expect(await edge.ask('/a')).toMatchObject({ status: 200, text: 'hello' })
  expect(lines).toMatchObject([{ origin: 'site', error: expect.stringContaining('10.0.0.5') }])
})

test('a file that is not there is the viewer’s to read, and no line in the log', async () => {
  const { log, lines } = collect()
  const store = openMemoryStore({ clock: new FakeClock() })
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)], log })

  expect(JSON.parse((await edge.ask('/no.mp4')).text)).toMatchObject({
    code: 'object-not-found',
    message: '"no.mp4": there is no such object',
  })
  expect(lines).toEqual([])
})
