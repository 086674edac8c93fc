import { createServer } from 'node:http'
import { connect } from 'node:net'
import { once } from 'node:events'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readRequestHead } from '../../server/edge/request-head.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const plain = 'GET /a?b=1 HTTP/1.1\r\nHost: x.test:80\r\nAccept:  */* \r\n\r\n'

describe('the head of a plain GET', () => {
  it('is read', () => {
    expect(readRequestHead(plain)).toEqual({
      method: 'GET',
      target: '/a?b=1',
      headers: { host: 'x.test:80', accept: '*/*' },
    })
  })

  // RFC 9112: what is lenient, obsolete, dangerous or only more than a whole answer is node's parser's.
  it.each([
    plain.replace('GET', 'HEAD'),
    plain.replace('GET', 'get'),
    plain.replace('HTTP/1.1', 'HTTP/1.0'),
    plain.replace('HTTP/1.1', 'HTTP/1.2'),
    plain.replace(' HTTP', '  HTTP'),
    plain.replace('/a?b=1', 'http://x.test/a'),
    plain.replace('/a?b=1', '/a#b'),
    plain.replace('/a?b=1', '/ä'),
    plain.replaceAll('\r\n', '\n'),
    plain.replace('\r\nAccept', '\r\n Accept'),
    plain.replace('Accept:', 'Accept :'),
    plain.replace('Accept:', ':'),
    plain.replace('Accept', 'Host'),
    plain.replace('Accept', 'Accept: a\r\naccept'),
    plain.replace('Host: x.test:80\r\n', ''),
    plain.replace('x.test:80', 'x.test, y.test'),
    plain.replace('x.test:80', ''),
    plain.replace('*/*', 'a\u0000b'),
    plain.replace('*/*', 'ä'),
    plain.replace('*/*', 'a\rb'),
    plain.replace('Accept', 'Content-Length'),
    plain.replace('Accept:  */*', 'Transfer-Encoding: chunked'),
    plain.replace('Accept:  */*', 'Connection: close'),
    plain.replace('Accept:  */*', 'If-Range: "a"'),
    plain.replace('Accept:  */*', 'If-None-Match: "a"'),
    plain.replace('Accept:  */*', 'Upgrade: websocket'),
    plain.replace('Accept', '__proto__'),
    `${plain}GET`,
    plain + plain,
    plain.slice(0, -2),
    `\r\n${plain}`,
    plain.replace('*/*', 'a'.repeat(5000)),
  ])('%j is not', (text) => {
    expect(readRequestHead(text)).toBeUndefined()
  })
})

describe('beside node’s parser', () => {
  const seen: { method: string; url: string; headers: Record<string, unknown> }[] = []
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    seen.push({ method, url, headers })
    response.end()
  })
  let port = 0
  beforeAll(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    port = address !== null && typeof address === 'object' ? address.port : 0
  })
  afterAll(() => server.close())

  it('what is read here means the same there', async () => {
    const token = fc.string({
      minLength: 1,
      maxLength: 8,
      unit: fc.constantFrom(...'abZ-_09!~'.split('')),
    })
    const value = fc.string({
      maxLength: 12,
      unit: fc.constantFrom(...'ab: ,;"=\t\r\n\u0000é/%'.split('')),
    })
    const line = fc.tuple(token, fc.constantFrom(':', ': ', ' :', ''), value).map((a) => a.join(''))
    const target = fc.string({ maxLength: 10, unit: fc.constantFrom(...'/a?%#2e. "<'.split('')) })
    const head = fc
      .tuple(fc.constantFrom('GET', 'POST', 'get'), target, fc.array(line, { maxLength: 4 }))
      .map(([method, path, lines]) => [`${method} /${path} HTTP/1.1`, 'Host: a.test', ...lines])
      .map((lines) => `${lines.join('\r\n')}\r\n\r\n`)
    await fc.assert(
      fc.asyncProperty(head, async (text) => {
        const read = readRequestHead(text)
        if (!read) return
        seen.length = 0
        const socket = connect(port, '127.0.0.1')
        socket.end(text, 'latin1')
        socket.resume()
        await once(socket, 'close')
        expect(seen).toEqual([{ method: 'GET', url: read.target, headers: read.headers }])
      }),
      { numRuns: FUZZ_RUNS },
    )
  })
})
