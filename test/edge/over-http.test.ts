import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { connect } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { httpOrigin } from '../../server/edge/http-origin.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { type EdgeFixture, startEdge } from '../support/edge-fixture.ts'

let web: Server
let edge: EdgeFixture
let origin: ReturnType<typeof httpOrigin>
const seen: string[] = []

beforeEach(async () => {
  seen.length = 0
  web = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.range ?? '-'}`)
    if (request.url === '/refuses') {
      // Answers before it has read the body.
      response.writeHead(413, { 'content-length': '0' }).end()
      return
    }
    if (request.method === 'POST') {
      response.writeHead(200)
      request.pipe(response)
      return
    }
    const body = Buffer.alloc(300_000, 'x')
    const fields = { etag: '"v1"', 'accept-ranges': 'bytes', 'cache-control': 'max-age=60' }
    const part = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    if (part) {
      const [start, end] = [Number(part[1]), Number(part[2])]
      response.writeHead(206, { ...fields, 'content-range': `bytes ${start}-${end}/300000` })
      response.end(body.subarray(start, end + 1))
      return
    }
    response.writeHead(200, { ...fields, 'content-length': body.length })
    response.end(body)
  })
  web.on('upgrade', (request, socket) => {
    const head = `HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Path: ${request.url}\r\n`
    socket.write(`${head}\r\n`)
    socket.pipe(socket)
  })
  web.listen(0, '127.0.0.1')
  await once(web, 'listening')
  const address = web.address()
  const port = typeof address === 'object' ? address?.port : 0
  origin = httpOrigin(
    'site',
    {
      kind: 'http',
      url: `http://127.0.0.1:${port}`,
      headers: {},
      timeouts: { connectMs: 5000, responseMs: 5000 },
    },
    { clock: systemClock, log: silentLog },
  )
  edge = await startEdge({
    origins: [origin],
    behaviors: [{ methods: 'all' }],
    memoryBytes: 400_000,
    sliceBytes: 32_768,
  })
})
afterEach(async () => {
  await edge.close()
  web.closeAllConnections()
  web.close()
})

test('a POST is echoed through, byte for byte', async () => {
  const body = Buffer.alloc(500_000, 'abc')

  const answer = await edge.ask('/echo', { method: 'POST', body })

  expect(answer.status).toBe(200)
  expect(answer.body.equals(body)).toBe(true)
})

test('an origin that answers before it has read the body is heard', async () => {
  const answer = await edge.ask('/refuses', { method: 'POST', body: Buffer.alloc(10_000) })

  expect(answer.status).toBe(413)
})

test('a web server that answers ranges fills the gaps of what was given up', async () => {
  await edge.ask('/film')
  await edge.ask('/other')
  const answer = await edge.ask('/film', { headers: { range: 'bytes=0-99999' } })

  expect(answer).toMatchObject({ status: 206 })
  expect(answer.body.length).toBe(100_000)
  expect(seen.filter((line) => line === 'GET /film -')).toHaveLength(1)
  expect(seen.some((line) => line.startsWith('GET /film bytes='))).toBe(true)
})

test('a WebSocket goes through to the web server', async () => {
  const socket = connect(edge.port, '127.0.0.1')
  socket.write(
    'GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n',
  )
  let received = ''
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString()
  })
  await expect.poll(() => received).toContain('\r\n\r\n')
  socket.write('hello')

  await expect.poll(() => received).toMatch(/hello$/)
  expect(received).toMatch(/^HTTP\/1.1 101 /)
  expect(received.toLowerCase()).toContain('x-path: /chat')
  expect(received.match(/^upgrade: websocket\r$/gim)).toHaveLength(1)
  socket.destroy()
})
