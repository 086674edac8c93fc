import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { listenHttp } from '../../server/edge/listen-http.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { askServer } from '../support/edge-fixture.ts'

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
