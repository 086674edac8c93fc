import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test, vi } from 'vitest'
import { listenHttp } from '../../server/edge/listen-http.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { askServer } from '../support/edge-fixture.ts'
import { PATIENT } from '../support/patience.ts'

const listen = (host: string, port = 0) =>
  listenHttp({
    host,
    port,
    clock: systemClock,
    handle: (request, response) => {
      if (request.url !== '/never') response.end('hello')
    },
    upgrade: (_request, socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'),
  })

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

const exchange = async (port: number, bytes: string, host = '127.0.0.1'): Promise<string> => {
  const socket = connect(port, host)
  let answer = ''
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString()
  })
  socket.end(bytes)
  await once(socket, 'close')
  return answer
}

test.each(['0.0.0.0', '::'])('%s answers on IPv4 and IPv6', async (host) => {
  const listener = await listen(host)
  const get = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'

  expect(await exchange(listener.port, get, '127.0.0.1')).toContain('hello')
  expect(await exchange(listener.port, get, '::1')).toContain('hello')
  await listener.close()
})

test('a taken port is said so', async () => {
  const first = await listen('127.0.0.1')
  await expect(listen('127.0.0.1', first.port)).rejects.toMatchObject({ code: 'port-taken' })
  await first.close()
})

test('a viewer who asks again and again does not hold up the end', async () => {
  const held: (() => void)[] = []
  const listener = await listenHttp({
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    handle: (_request, response) => void held.push(() => response.end('hello')),
    upgrade: () => {},
  })
  const socket = connect(listener.port, '127.0.0.1')
  let answers = ''
  socket.on('data', (bytes: Buffer) => {
    // As a live viewer does: the next reload as soon as one is answered.
    if (!answers.includes('hello')) socket.write(GET)
    answers += bytes.toString()
  })
  socket.write(GET)
  await vi.waitFor(() => expect(held).toHaveLength(1), PATIENT)
  const closed = listener.close(60_000)
  held[0]?.()
  await vi.waitFor(() => expect(held).toHaveLength(2), PATIENT)
  const gone = once(socket, 'close')
  held[1]?.()
  await Promise.all([closed, gone])
  expect(answers.match(/hello/g)).toHaveLength(2)
  expect(answers.match(/^connection: close/gim)).toHaveLength(1)
})

// RFC 9112 §6.3: what two parsers could read differently is refused.
test.each([
  ['both lengths', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two lengths', 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello'],
  ['a folded field', 'X: a\r\n b\r\n\r\n'],
  ['a space before the colon', 'X : a\r\n\r\n'],
  ['another coding last', 'Transfer-Encoding: chunked, identity\r\n\r\n'],
])('%s is 400 and closes', async (_what, rest) => {
  const listener = await listen('127.0.0.1')
  const answer = await exchange(listener.port, `POST / HTTP/1.1\r\nHost: x\r\n${rest}`)
  expect(answer).toMatch(/^HTTP\/1.1 400 /)
  await listener.close()
})

// RFC 9112 §3.2
test.each([
  ['two', 'Host: a\r\nhost: b'],
  ['one with a space', 'Host: a b'],
  ['one with a path', 'Host: a/b'],
])('%s for a host is 400, also with an upgrade', async (_what, fields) => {
  const listener = await listen('127.0.0.1')
  for (const more of ['Connection: close', 'Connection: Upgrade\r\nUpgrade: websocket']) {
    const answer = await exchange(listener.port, `GET / HTTP/1.1\r\n${fields}\r\n${more}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1.1 400 /)
  }
  await listener.close()
})

test.each(['a.example:8080', '[::1]:80', '[fe80::1]', 'under_score', ''])(
  'a host %j is taken',
  async (host) => {
    const listener = await listen('127.0.0.1')
    const get = `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
    expect(await exchange(listener.port, get)).toContain('hello')
    await listener.close()
  },
)

// RFC 9110 §7.8; curl --http2 and Java's HttpClient send it with each request.
test('an offer of HTTP/2 is passed over, and ends the connection', async () => {
  const listener = await listen('127.0.0.1')
  const offer =
    'Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A'
  const answer = await exchange(
    listener.port,
    `POST / HTTP/1.1\r\n${offer}\r\nContent-Length: 2\r\n\r\nhi`,
  )
  expect(answer).toMatch(/^HTTP\/1.1 200 [\s\S]*Connection: close\r\n[\s\S]*hello/)
  await listener.close()
})

test('a header beyond 32 KiB is 431', async () => {
  const listener = await listen('127.0.0.1')
  const answer = await exchange(listener.port, `GET / HTTP/1.1\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`)
  expect(answer).toMatch(/^HTTP\/1.1 431 /)
  await listener.close()
})

test('closing lets nobody new in, and cuts what does not end in its grace, upgrades at once', async () => {
  const listener = await listen('127.0.0.1')
  expect((await askServer(listener.port, '/')).text).toBe('hello')
  const waiting = expect(askServer(listener.port, '/never')).rejects.toThrow()
  const socket = connect(listener.port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n')
  await once(socket, 'data')

  const closed = listener.close(50)

  await once(socket, 'close')
  await waiting
  await closed
  await expect(askServer(listener.port, '/')).rejects.toThrow('ECONNREFUSED')
})
