import { randomBytes } from 'node:crypto'
import { Agent, get, type IncomingMessage } from 'node:http'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startServer, type TestServer } from '../support/server.ts'
import { startWebServer, type WebServer } from '../support/web-server.ts'

const BODY = randomBytes(2 * 1024 * 1024)
const FIELDS = { 'cache-control': 'max-age=600', 'content-length': BODY.length }
let web: WebServer
let server: TestServer
let release: () => void = () => {}

const start = (data?: string) =>
  startServer({
    ...(data !== undefined && { data }),
    env: { NEARCAST_HTTP_WORKERS: '2' },
    config: [
      `origins: { site: { kind: http, url: '${web.url}' } }`,
      `distributions: [{ id: default, hosts: ['*'], behaviors: [{ path: '*', origin: site, methods: all }] }]`,
    ].join('\n'),
  })

beforeAll(async () => {
  web = await startWebServer((request, response) => {
    response.writeHead(200, FIELDS)
    if (request.method === 'POST' || !request.url?.startsWith('/slow')) {
      response.end(BODY)
      return
    }
    // Half of it at once, the rest when the test says so.
    response.write(BODY.subarray(0, BODY.length / 2))
    release = () => response.end(BODY.subarray(BODY.length / 2))
  })
  server = await start()
})
afterAll(async () => {
  await server.stop()
  await rm(server.data, { recursive: true, force: true })
  await web.close()
})

/** Each over a connection of its own: by turns at one worker and the other. */
function open(path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(`${server.http}${path}`, { agent: new Agent({ keepAlive: false }) }, resolve).on(
      'error',
      reject,
    )
  })
}

async function read(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** How many workers asked the main process: the others' viewers waited for the same. */
const misses = (answers: readonly IncomingMessage[]) =>
  answers.filter(({ headers }) => {
    const status = String(headers['cache-status'])
    return /fwd=(?:uri-)?miss/.test(status) && !status.includes('collapsed')
  }).length

it('asks an origin once for what viewers of both workers want while it comes', async () => {
  const answers = await Promise.all(Array.from({ length: 8 }, () => open('/slow')))
  expect(misses(answers)).toBe(2)
  release()
  for (const body of await Promise.all(answers.map(read))) expect(body.equals(BODY)).toBe(true)
  expect(web.requests.filter((line) => line === 'GET /slow')).toHaveLength(1)
})

it('has it from the disk of the main process after a restart', async () => {
  await read(await open('/kept'))
  expect(await server.stop({ keep: true })).toBe(0)
  server = await start(server.data)
  const answers = await Promise.all(Array.from({ length: 8 }, () => open('/kept')))
  for (const body of await Promise.all(answers.map(read))) expect(body.equals(BODY)).toBe(true)
  expect(web.requests.filter((line) => line === 'GET /kept')).toHaveLength(1)
  const { body } = await server.api('GET', '/cache')
  expect((body as { diskRecords: number }).diskRecords).toBeGreaterThan(0)
})

it('takes what was invalidated from the origin again, once for both', async () => {
  await Promise.all((await Promise.all(Array.from({ length: 4 }, () => open('/gone')))).map(read))
  const made = await server.api('POST', '/invalidations', { paths: ['/gone'] })
  expect(made.body).toMatchObject({ status: 'completed' })
  await Promise.all((await Promise.all(Array.from({ length: 4 }, () => open('/gone')))).map(read))
  expect(web.requests.filter((line) => line === 'GET /gone')).toHaveLength(2)
})

// RFC 9111 §4.4
it('has nothing that an unsafe request changed, whichever worker took that', async () => {
  const look = async () => {
    const answers = await Promise.all(Array.from({ length: 4 }, () => open('/changed')))
    await Promise.all(answers.map(read))
    return misses(answers)
  }
  let fresh = await look()
  while (fresh < 2) fresh += await look()
  expect(await look()).toBe(0)
  const posted = await fetch(`${server.http}/changed`, { method: 'POST' })
  await posted.arrayBuffer()
  expect(posted.status).toBe(200)
  let again = 0
  await expect.poll(async () => (again += await look())).toBe(2)
  expect(web.requests.filter((line) => line === 'GET /changed')).toHaveLength(2)
})
