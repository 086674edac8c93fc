import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { askAdmission } from '../../server/ingest/ask-admission.ts'
import { signHook } from '../../server/lib/sign-hook.ts'
import type { AdmissionVerdict } from '../../server/ingest/admission.ts'
import { listen } from '../../server/lib/listen.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { FakeClock } from '../support/fake-clock.ts'

const SECRET = 'a-secret-of-the-receiver'
const TOKEN = 'token-in-the-path'
const ABOUT = {
  stream: 'main',
  backup: false,
  protocol: 'rtmp',
  address: '192.0.2.7',
  agent: 'OBS',
} as const

let server: Server
let url: string
let asked: { readonly headers: IncomingHttpHeaders; readonly body: string }[]
let answer: { status: number; body: string } | 'silence'
const clock = new FakeClock()

beforeEach(async () => {
  asked = []
  answer = { status: 204, body: '' }
  server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      asked.push({ headers: request.headers, body })
      if (answer === 'silence') server.emit('asked')
      else
        response.writeHead(answer.status, { location: `${url}/elsewhere` }).end(answer.body || null)
    })
  })
  url = `http://127.0.0.1:${await listen(server, { name: 'test', host: '127.0.0.1', port: 0 })}/${TOKEN}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const ask = (signal = new AbortController().signal): Promise<AdmissionVerdict> =>
  askAdmission({ url, secret: SECRET, timeoutSeconds: 3 }, { clock, random: systemRandom })(
    ABOUT,
    signal,
  )

test('a publisher that the other server takes is admitted, and the question is signed', async () => {
  expect(await ask()).toEqual({ kind: 'admitted' })
  const [post] = asked
  expect(JSON.parse(post?.body ?? '')).toEqual({ at: clock.now(), kind: 'admission', ...ABOUT })
  const seconds = Math.floor(clock.now() / 1000)
  expect(post?.headers).toMatchObject({
    'nearcast-event': 'admission',
    'nearcast-signature': signHook(SECRET, seconds, post?.body ?? ''),
  })
})

test.each([
  ['its message', 403, '{"message":" Not on\\nMondays "}', 'Not on Mondays'],
  ['no more than 200 characters of it', 403, `{"message":"${'x'.repeat(300)}"}`, 'x'.repeat(200)],
  ['a sentence of ours without one', 404, 'no JSON', 'This publisher is not admitted.'],
  [
    'one of ours for an answer without end',
    400,
    ' '.repeat(9000),
    'This publisher is not admitted.',
  ],
])('a status from 400 to 499 refuses it with %s', async (_, status, body, description) => {
  answer = { status, body }
  expect(await ask()).toEqual({ kind: 'refused', description })
})

test.each([302, 500, 503])('%i decides nothing, and is not followed: refused', async (status) => {
  answer = { status, body: '' }
  const verdict = await ask()
  expect(verdict).toMatchObject({ kind: 'refused', trouble: `answered ${status}` })
  expect(asked.length).toBe(1)
})

test('a server that does not answer, or is not there, refuses it and its address stays unsaid', async () => {
  answer = 'silence'
  const silence = new Promise((resolve) => server.once('asked', resolve))
  const waiting = ask()
  await silence
  await clock.advance(3000)
  expect(await waiting).toMatchObject({
    kind: 'refused',
    trouble: expect.stringContaining('3000 ms'),
  })
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  const gone = await ask()
  expect(gone).toMatchObject({ kind: 'refused', trouble: expect.any(String) })
  expect(JSON.stringify(gone)).not.toContain(TOKEN)
})

test('a publisher that leaves ends the question', async () => {
  answer = 'silence'
  const silence = new Promise((resolve) => server.once('asked', resolve))
  const left = new AbortController()
  const waiting = ask(left.signal)
  await silence
  left.abort()
  expect(await waiting).toMatchObject({ kind: 'refused' })
})
