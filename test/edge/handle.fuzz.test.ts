import { once } from 'node:events'
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { openFileStore } from '../../server/storage/file.ts'
import { type Answer, askServer, type EdgeFixture, startEdge } from '../support/edge-fixture.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const SECRET = 'outside the root'
const INSIDE = 'inside the root, and some more'
let folder: string
let edge: EdgeFixture
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'edge-fuzz-'))
  await mkdir(join(folder, 'root/a'), { recursive: true })
  await writeFile(join(folder, 'secret.txt'), SECRET)
  await writeFile(join(folder, 'root/a/b.txt'), INSIDE)
  const store = openFileStore(join(folder, 'root'), { clock: new FakeClock() })
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)], memoryBytes: 1024 * 1024 })
})
afterAll(async () => {
  await edge.close()
  await rm(folder, { recursive: true })
})

const position = fc.oneof(fc.nat(40), fc.constantFrom('', '99999999999999999999', '-1', 'x', ' '))
const rangePart = fc
  .tuple(position, fc.constantFrom('-', '', '--'), position)
  .map((p) => p.join(''))
const range = fc
  .tuple(fc.constantFrom('bytes=', 'bytes', 'items=', ''), fc.array(rangePart, { maxLength: 20 }))
  .map(([unit, parts]) => unit + parts.join(','))

/** The one part of a 206, or the several of multipart/byteranges (RFC 9110 §14.6). */
function partsOf({ headers, text }: Answer): readonly { range: string; text: string }[] {
  const boundary = /boundary=(.+)$/.exec(String(headers['content-type']))?.[1]
  if (boundary === undefined) return [{ range: String(headers['content-range']), text }]
  const parts = text.split(`--${boundary}`)
  expect(parts.at(-1)).toBe('--\r\n')
  expect(parts.length).toBeGreaterThan(3)
  return parts.slice(1, -1).map((part) => ({
    range: /^Content-Range: (.*)\r$/m.exec(part)?.[1] ?? '',
    text: part.slice(part.indexOf('\r\n\r\n') + 4, -2),
  }))
}

test('whatever the Range says, the answer is a true part of the file, the file, or 416', async () => {
  await fc.assert(
    fc.asyncProperty(range, async (value) => {
      const answer = await edge.ask('/a/b.txt', { headers: { range: value } })
      expect([200, 206, 416]).toContain(answer.status)
      if (answer.status === 200) expect(answer.text).toBe(INSIDE)
      if (answer.status === 206)
        for (const { range: part, text } of partsOf(answer)) {
          const [, start, end] = /^bytes (\d+)-(\d+)\/30$/.exec(part) ?? []
          expect(text).toBe(INSIDE.slice(Number(start), Number(end) + 1))
        }
    }),
    { numRuns: FUZZ_RUNS },
  )
}, 600_000)

const piece = fc.oneof(
  fc.constantFrom(
    '..',
    '.',
    '%2e%2e',
    '%2E.',
    '%2f',
    '%5c',
    '\\',
    '//',
    'a',
    'b.txt',
    'secret.txt',
    '%00',
    '%',
    '%zz',
    '*',
    ';',
    ':',
  ),
  fc.string({ maxLength: 4 }).map((text) => encodeURI(text.replaceAll(/[^\x21-\x7e]/g, ''))),
)
const target = fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join('/')}`)

test('no path leaves the root, and none hurts the server', async () => {
  await fc.assert(
    fc.asyncProperty(target, async (path) => {
      const answer = await edge.ask(path.replaceAll(' ', '%20'))
      expect([200, 400, 404]).toContain(answer.status)
      expect(answer.text).not.toContain(SECRET)
    }),
    { numRuns: FUZZ_RUNS },
  )
}, 600_000)

const line = fc.oneof(
  fc.constantFrom(
    'Host: a',
    'Host: a, b',
    'Host: [::1]:80',
    'Host: ..',
    'Transfer-Encoding: chunked',
    'Content-Length: 5',
    'Content-Length: 5, 6',
    'Connection: close, host, content-length',
    'If-None-Match: "',
    'If-None-Match: *',
    'If-Modified-Since: yesterday',
    'If-Range: W/"a"',
    'Range: bytes=0-0',
    'Cache-Control: max-age=99999999999999999999, only-if-cached',
    'Upgrade: h2c',
    'Expect: 100-continue',
    ' folded: yes',
    'X: \u0001',
    'Accept: text/html',
  ),
  fc.string({ maxLength: 30 }),
)
const head = fc
  .tuple(
    fc.constantFrom('GET', 'HEAD', 'POST', 'get', 'OPTIONS', 'CONNECT', 'PRI', 'X'),
    fc.oneof(target, fc.constantFrom('*', 'http://h/a/b.txt', 'http://', 'a', '/?', '/#x')),
    fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9'),
    fc.array(line, { maxLength: 5 }),
  )
  .map(([method, path, version, lines]) => [`${method} ${path} ${version}`, ...lines])

test('whatever bytes a viewer sends as a request, the next viewer is answered', async () => {
  await fc.assert(
    fc.asyncProperty(head, async (lines) => {
      const socket = connect(edge.port, '127.0.0.1')
      const closed = once(socket, 'close')
      let answer = ''
      socket.on('data', (chunk: Buffer) => {
        answer += chunk.toString('latin1')
      })
      socket.on('error', () => {})
      socket.end(`${lines.join('\r\n')}\r\n\r\nhello`)
      await closed
      expect(answer).not.toContain(SECRET)
      if (answer !== '') expect(answer).toMatch(/^HTTP\/1\.1 [1-5]\d\d /)
    }),
    { numRuns: FUZZ_RUNS },
  )
  expect((await askServer(edge.port, '/a/b.txt')).text).toBe(INSIDE)
}, 600_000)
