import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { EventFeed } from '../../server/control/event-feed.ts'
import { type HookOptions, startWebhooks } from '../../server/control/webhooks.ts'
import { signHook } from '../../server/lib/sign-hook.ts'
import { listen } from '../../server/lib/listen.ts'
import { type Log, silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { FakeClock } from '../support/fake-clock.ts'

const SECRET = 'a-secret-of-the-receiver'
const WAIT = { timeout: 60_000 }

interface Post {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

let receiver: Server
let port: number
let posts: Post[]
/** What the receiver answers next; 204 when there is none. */
let statuses: number[]
let clock: FakeClock
let feed: EventFeed
let metrics: Metrics
let lines: string[]

beforeEach(async () => {
  posts = []
  statuses = []
  lines = []
  clock = new FakeClock()
  metrics = new Metrics()
  feed = new EventFeed(clock, systemRandom)
  receiver = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      posts.push({ path: request.url ?? '', headers: request.headers, body })
      response.writeHead(statuses.shift() ?? 204, { location: '/elsewhere' }).end()
    })
  })
  port = await listen(receiver, { name: 'control', host: '127.0.0.1', port: 0 })
})
afterEach(() => {
  receiver.closeAllConnections()
  receiver.close()
})

const remembering: Log = {
  ...silentLog,
  warn: (message, fields) => void lines.push(`${message} ${JSON.stringify(fields)}`),
  with: () => remembering,
}

function start(more: Partial<HookOptions> = {}): Disposable {
  const url = `http://127.0.0.1:${port}/hook?token=hidden`
  const events = ['publish', 'unpublish', 'record', 'error'] as const
  const hooks = [{ url, events, secret: SECRET, ...more }]
  // Pauses are as long as they are meant.
  const random = { ...systemRandom, fraction: () => 0.5 }
  return startWebhooks({ hooks, feed, clock, random, log: remembering, metrics })
}
const publish = (stream: string) => feed.tell({ kind: 'publish', stream })
const count = (what: string) => metrics.read(`nearcast_hooks_${what}_total`)

describe('a webhook', () => {
  test('is a signed post of what happened', async () => {
    using _ = start()
    publish('main')
    await vi.waitFor(() => expect(count('delivered')).toBe(1), WAIT)
    const [post] = posts
    expect(JSON.parse(post?.body ?? '')).toMatchObject({ kind: 'publish', stream: 'main' })
    expect(post?.headers['nearcast-event']).toBe('publish')
    const seconds = Math.floor(clock.now() / 1000)
    expect(post?.headers['nearcast-signature']).toBe(signHook(SECRET, seconds, post?.body ?? ''))
  })

  test('comes only of the events that were asked for, and health never', async () => {
    using _ = start({ events: ['record'] })
    publish('main')
    feed.tell({ kind: 'health', stream: 'main' })
    feed.tell({ kind: 'record-started', stream: 'main' })
    feed.tell({ kind: 'record-ended', stream: 'main' })
    await vi.waitFor(() => expect(count('delivered')).toBe(2), WAIT)
    expect(posts.map(({ headers }) => headers['nearcast-event'])).toEqual([
      'record-started',
      'record-ended',
    ])
  })

  test('that fails is tried again with a new signature and the same id, before what came later', async () => {
    statuses = [500]
    using _ = start()
    publish('first')
    publish('second')
    await vi.waitFor(() => expect(count('failed')).toBe(1), WAIT)
    await clock.advance(1000)
    await vi.waitFor(() => expect(count('delivered')).toBe(2), WAIT)
    const [one, again, next] = posts
    expect(again?.headers['nearcast-id']).toBe(one?.headers['nearcast-id'])
    expect(again?.headers['nearcast-signature']).not.toBe(one?.headers['nearcast-signature'])
    expect(next?.body).toContain('second')
  })

  test('is not sent where the receiver points to', async () => {
    statuses = [302]
    using _ = start()
    publish('main')
    await vi.waitFor(() => expect(count('failed')).toBe(1), WAIT)
    expect(posts.map(({ path }) => path)).toEqual(['/hook?token=hidden'])
  })

  test('is given up after eight attempts, and counted', async () => {
    statuses = Array.from({ length: 8 }, () => 503)
    using _ = start()
    publish('main')
    const pauses = [1, 4, 16, 64, 256, 300, 300]
    for (const [before, seconds] of pauses.entries()) {
      await vi.waitFor(() => expect(count('failed')).toBe(before + 1), WAIT)
      await clock.advance(seconds * 1000 - 1)
      expect(posts).toHaveLength(before + 1)
      await clock.advance(1)
    }
    await vi.waitFor(() => expect(count('dead')).toBe(1), WAIT)
    expect(posts).toHaveLength(8)
    expect(count('delivered')).toBe(0)
  })

  test('waits in memory up to a bound, past which the oldest is given up', async () => {
    statuses = [500]
    using _ = start()
    for (let i = 0; i < 1101; i++) publish(`s${i}`)
    expect(count('dead')).toBe(100)
    await vi.waitFor(() => expect(count('failed')).toBe(1), WAIT)
  })

  test('leaves neither its secret nor its address in the log', async () => {
    receiver.closeAllConnections()
    await new Promise((resolve) => receiver.close(resolve))
    using _ = start()
    publish('main')
    await vi.waitFor(() => expect(count('failed')).toBe(1), WAIT)
    expect(lines).toHaveLength(1)
    expect(lines.join()).not.toMatch(/hidden|a-secret/)
  })
})

test('the snippet of docs/HOOKS.md knows a post of ours from any other', async () => {
  const docs = await readFile(new URL('../../docs/HOOKS.md', import.meta.url), 'utf8')
  const [, snippet = ''] = /```js\n([\s\S]+?)```/.exec(docs) ?? []
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-hooks-'))
  const file = join(folder, 'check.mjs')
  await writeFile(file, snippet)
  const { isFromNearcast } = await import(pathToFileURL(file).href)
  await rm(folder, { recursive: true })
  const body = Buffer.from('{"kind":"publish","stream":"é"}')
  const field = signHook(SECRET, 1000, body.toString())
  expect(isFromNearcast(field, body, SECRET, 1_000_000)).toBe(true)
  expect(isFromNearcast(field, body, SECRET, 1_301_000)).toBe(false)
  expect(isFromNearcast(field, body, 'another-secret-there', 1_000_000)).toBe(false)
  expect(isFromNearcast(field, Buffer.from('{}'), SECRET, 1_000_000)).toBe(false)
  expect(isFromNearcast('', body, SECRET, 1_000_000)).toBe(false)
})
