import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import type { Source } from '../../server/cache/fill.ts'
import type { FastAnswer } from '../../server/edge/fast-path.ts'
import { type FastConnection, type FastDeps, serveFast } from '../../server/edge/fast-connection.ts'
import { deferred } from '../../server/lib/deferred.ts'

let server: Server
const open: Socket[] = []
afterEach(async () => {
  for (const socket of open.splice(0)) socket.destroy()
  server.close()
  await once(server, 'close')
})

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-Id: '
const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

/** Ten bytes of which five are here; the others come from `source`. */
function halfHeld(source: Source): FastAnswer {
  const cache = new Cache({ memoryBytes: 1024 * 1024 })
  const generation = cache.ownGeneration({ etag: 'e', size: 10, rangeable: true })
  const facts = {
    distribution: 'd',
    path: '/',
    method: 'GET',
    status: 200,
    responseFields: {},
    requestTime: 0,
    responseTime: 0,
    authorized: false,
    flat: [],
    stamp: { epoch: 'e', seq: 1, localSeq: 0 },
  }
  const object = cache.store('key', [], {}, facts, generation)
  const hold = generation.hold()
  setImmediate(() => hold[Symbol.dispose]())
  const run = { start: 0, body: chunks('hello') }
  generation.fillFrom(run, 5, undefined, new AbortController())
  const request = { method: 'GET', target: '/', headers: {} } as const
  const kind = 'hit'
  return { kind, head: HEAD, object, status: 200, start: 0, end: 10, source: () => source, request }
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

async function start(answer: FastAnswer | undefined, more: Partial<FastDeps> = {}) {
  const made = deferred<FastConnection>()
  const records: Parameters<FastDeps['done']>[0][] = []
  const handedOver: Socket[] = []
  const accepted: Socket[] = []
  server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket)
    const deps: FastDeps = {
      path: { find: () => answer },
      direct: () => Promise.reject(new Error('not asked')),
      nextId: () => '1',
      stuckMs: 10_000,
      keepAliveMs: 10_000,
      firstMs: 10_000,
      halfClosedMs: 10_000,
      now: () => 0,
      monotonic: () => 0,
      edge: 'local',
      done: (record) => records.push(record),
      ...more,
    }
    made.resolve(serveFast(socket, deps, (given) => handedOver.push(given)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const socket = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1')
  open.push(socket)
  let received = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  const connection = await made.promise
  return { socket, accepted: accepted[0], connection, records, handedOver, text: () => received }
}

test('an answer whose bytes are still to come is completed although the server closes, and nothing follows it', async () => {
  const gate = deferred<void>()
  const asked = deferred<void>()
  const source: Source = {
    async open(from) {
      asked.resolve()
      await gate.promise
      return { start: from, body: chunks('world') }
    },
  }
  const viewer = await start(halfHeld(source))
  viewer.socket.write(REQUEST)
  await asked.promise
  viewer.socket.write(REQUEST)
  viewer.connection.end()
  gate.resolve()
  await once(viewer.socket, 'close')
  expect(viewer.text()).toBe(`${HEAD}1\r\n\r\nhelloworld`)
  expect(viewer.records).toEqual([expect.objectContaining({ bytes: 10, complete: true })])
})

test('bytes that cannot be had again cut the connection inside the body', async () => {
  const source: Source = { open: () => Promise.reject(new Error('gone')) }
  const viewer = await start(halfHeld(source))
  viewer.socket.write(REQUEST)
  await once(viewer.socket, 'close')
  expect(viewer.text().length).toBeLessThan(`${HEAD}1\r\n\r\nhelloworld`.length)
  expect(viewer.records).toEqual([expect.objectContaining({ complete: false })])
})

test('a connection between two answers is ended at once', async () => {
  const viewer = await start(undefined)
  viewer.connection.end()
  await once(viewer.socket, 'close')
  expect(viewer.text()).toBe('')
})

test('who connects and says nothing is cut', async () => {
  const viewer = await start(undefined, { firstMs: 20 })
  await once(viewer.socket, 'close')
  expect(viewer.handedOver).toEqual([])
})

test('a viewer who leaves in mid-answer ends the reading of it', async () => {
  const asked = deferred<AbortSignal>()
  const source: Source = {
    open(_start, _end, signal) {
      asked.resolve(signal)
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason)),
      )
    },
  }
  const viewer = await start({ ...halfHeld(source) })
  viewer.socket.write(REQUEST)
  const signal = await asked.promise
  viewer.socket.destroy()
  if (!signal.aborted) await once(signal, 'abort')
  expect(signal.aborted).toBe(true)
})

test('a viewer who is gone before his answer leaves is logged as one who got nothing', async () => {
  const logged = deferred<Parameters<FastDeps['done']>[0]>()
  let seen: Socket | undefined
  const viewer = await start(undefined, {
    path: {
      find: () => {
        seen?.destroy()
        return halfHeld({ open: () => Promise.reject(new Error('gone')) })
      },
    },
    done: (record) => logged.resolve(record),
  })
  seen = viewer.accepted
  viewer.socket.write(REQUEST)
  expect(await logged.promise).toMatchObject({ bytes: 0, complete: false })
})
