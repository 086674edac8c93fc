import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { httpOrigin } from '../../server/edge/http-origin.ts'
import { collect } from '../../server/lib/bytes.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { silentLog } from '../../server/lib/log.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const LINES = [
  'HTTP/1.1 200 OK',
  'HTTP/1.1 103 Early Hints',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK',
  'HTTP/1.0 100',
  'HTTP/1.1 101 Switching Protocols',
  'HTTP/1.0 304 x',
  'HTTP/1.1 999',
  'Content-Length: 3',
  'Content-Length: -1',
  'Transfer-Encoding: chunked',
  'Connection: upgrade',
  'Upgrade: websocket',
  '__proto__: x',
  ': y',
  '',
  '3\r\nabc',
  '0\r\n',
  'ffffffffffffffffff\r\n',
]

it('answers or throws an error of ours, whatever bytes an origin sends', async () => {
  let bytes: Uint8Array = Buffer.alloc(0)
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(bytes))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const timeouts = { connectMs: 5000, responseMs: 5000 }
  const options = { kind: 'http', url, headers: {}, timeouts } as const
  const origin = httpOrigin('fuzz', options, { clock: systemClock, log: silentLog })
  const signal = new AbortController().signal

  const told = fc
    .array(fc.oneof(fc.constantFrom(...LINES), fc.string({ maxLength: 20 })), { maxLength: 12 })
    .map((lines) => Buffer.from(lines.join('\r\n'), 'latin1'))
  const raw = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  const upgrades = fc.boolean()
  const check = async (sent: Buffer, upgrade: boolean) => {
    bytes = sent
    const headers: Record<string, string> = upgrade ? { upgrade: 'websocket' } : {}
    const request = { method: 'GET', path: '/', query: '', headers, body: null, signal }
    try {
      const answer = await origin.fetch(request)
      if (answer.kind === 'upgrade') answer.socket.destroy()
      else if (answer.body && Symbol.asyncIterator in answer.body) await collect(answer.body)
    } catch (error) {
      expect(error).toBeInstanceOf(NearcastError)
    }
  }
  await fc.assert(fc.asyncProperty(fc.oneof(told, raw), upgrades, check), { numRuns: FUZZ_RUNS })
  await origin.close()
  server.close()
})
