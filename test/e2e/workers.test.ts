import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { Agent, get, type IncomingMessage } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type ReadMedia, readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { type FfmpegRun, publishPicture } from '../support/publish-picture.ts'
import { startServer, type TestServer } from '../support/server.ts'

const FILM = randomBytes(4 * 1024 * 1024)
let media: string
let server: TestServer
let publisher: FfmpegRun
/** Requests of viewers. */
let asked = 0

beforeAll(async () => {
  media = await mkdtemp(join(tmpdir(), 'nearcast-media-'))
  await writeFile(join(media, 'film.bin'), FILM)
  await writeFile(join(media, 'old.txt'), 'old')
  server = await startServer({ env: { NEARCAST_MEDIA: media, NEARCAST_HTTP_WORKERS: '2' } })
  publisher = publishPicture(`${server.rtmp}/${server.streamKey}`)
})
afterAll(async () => {
  await publisher.stop()
  await server.stop()
  await rm(media, { recursive: true, force: true })
})

/** Processes that the server started and that answer viewers. */
function workersOf(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  return children
    .map(Number)
    .filter((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('nearcast-worker'))
}

/** The ports at the other ends of a process's TCP connections. */
function peersOf(pid: number): ReadonlySet<number> {
  const open = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`)
      } catch {
        return 'closed meanwhile'
      }
    }),
  )
  const rows = ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8').split('\n'),
  )
  const mine = rows
    .map((row) => row.trim().split(/\s+/))
    .filter((fields) => open.has(`socket:[${fields[9]}]`))
  return new Set(mine.map((fields) => Number.parseInt(fields[2]?.split(':').at(-1) ?? '', 16)))
}

/** One request over a connection of its own; the answer is not read yet. */
function open(url: string, keepAlive = false): Promise<IncomingMessage> {
  asked++
  return new Promise((resolve, reject) => {
    get(url, { agent: new Agent({ keepAlive }) }, resolve).on('error', reject)
  })
}

async function bytesOf(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function serving(): Promise<unknown> {
  const { body } = await server.api('GET', '/health')
  return (body as { workers?: object }).workers
}

/** Enough connections that every worker takes some. */
async function askAll(
  url: string,
  times = 24,
): Promise<readonly { text: string; cache: string }[]> {
  const answers = await Promise.all(Array.from({ length: times }, () => open(url)))
  return Promise.all(
    answers.map(async (answer) => ({
      text: (await bytesOf(answer)).toString(),
      cache: String(answer.headers['x-cache']),
    })),
  )
}

/** What comes next: in the open segment, or first of the one after it. */
function nextPart({ mediaSequence, segments }: ReadMedia): readonly [number, number] {
  const last = segments.at(-1)
  if (!last) return [mediaSequence, 0]
  return last.uri === undefined ? [last.sequence, last.parts.length] : [last.sequence + 1, 0]
}

describe('two workers on one port', () => {
  it('answer in place of the server, which opens a socket for this user alone', async () => {
    expect(await serving()).toEqual({ wanted: 2, serving: 2, restarts: 0 })
    expect(workersOf(server.pid)).toHaveLength(2)
    const facts = await stat(join(server.data, 'edge.sock'))
    expect(facts.isSocket()).toBe(true)
    expect(facts.mode & 0o777).toBe(0o600)
  })

  it('answer films and pages as one process does', async () => {
    const answers = await askAll(`${server.http}/watch/live/main`, 8)
    for (const { text } of answers) expect(text).toContain('nearcast-player')
    const film = await bytesOf(await open(`${server.http}/media/film.bin`))
    expect(film.equals(FILM)).toBe(true)
  })

  it('have an invalidation before the API says that it is completed', async () => {
    const url = `${server.http}/media/old.txt`
    await askAll(url)
    expect((await askAll(url)).every(({ cache }) => cache.startsWith('Hit'))).toBe(true)
    await writeFile(join(media, 'old.txt'), 'new')
    const made = await server.api('POST', '/invalidations', { paths: ['/media/old.txt'] })
    expect(made.body).toMatchObject({ status: 'completed' })
    for (const { text } of await askAll(url)) expect(text).toBe('new')
  })

  it('are counted together', async () => {
    const requests = async () => {
      const text = await (await fetch(`${server.control}/metrics`)).text()
      return Number(/^nearcast_edge_requests_total (\d+)$/m.exec(text)?.[1])
    }
    await askAll(`${server.http}/media/old.txt`, 20)
    await vi.waitFor(async () => expect(await requests()).toBe(asked), { timeout: 60_000 })
    const { body } = await server.api('GET', '/cache')
    expect(body).toMatchObject({ traffic: { requests: asked } })
    expect((body as { bytes: number }).bytes).toBeGreaterThan(FILM.length)
    const dry = await server.api('POST', '/invalidations', {
      paths: ['/media/old.txt'],
      dryRun: true,
    })
    expect(dry.body).toMatchObject({ objects: 2, examples: ['/media/old.txt'] })
    const explained = await server.api('GET', '/explain?url=/media/old.txt')
    expect(explained.body).toMatchObject({ served: true, stored: true })
  })

  it('hold blocking reloads, part after part, of a live stream', async () => {
    const master = await vi.waitFor(
      async () => {
        const answer = await fetch(`${server.http}/live/main/index.m3u8`)
        expect(answer.status).toBe(200)
        return answer.text()
      },
      { timeout: 60_000 },
    )
    const file = /^video-\S+$/m.exec(master)?.[0] ?? ''
    const read = async (query = '') => {
      const answer = await open(`${server.http}/live/main/${file}${query}`)
      expect(answer.statusCode).toBe(200)
      const playlist = readPlaylist((await bytesOf(answer)).toString())
      if (playlist.kind !== 'media') throw new Error('not a media playlist')
      return playlist
    }
    let playlist = await read()
    for (let count = 0; count < 8; count++) {
      const [sequence, index] = nextPart(playlist)
      playlist = await read(`?_HLS_msn=${sequence}&_HLS_part=${index}`)
      const newest = playlist.segments.findLast(({ parts }) => parts.length > 0)
      expect(newest?.sequence).toBeGreaterThanOrEqual(sequence)
      const part = await open(`${server.http}/live/main/${newest?.parts.at(-1)?.uri}`)
      expect(part.statusCode).toBe(200)
      expect((await bytesOf(part)).length).toBeGreaterThan(100)
    }
    const streams = await vi.waitFor(
      async () => {
        const { body } = await server.api('GET', '/streams')
        expect(JSON.stringify(body)).toMatch(/"viewers":[1-9]/)
        return body
      },
      { timeout: 60_000 },
    )
    expect(JSON.stringify(streams)).toContain('"name":"main"')
  })

  it('go on when one of them is killed: 20 downloads at the other one have every byte', async () => {
    const url = `${server.http}/media/film.bin`
    const downloads = await Promise.all(Array.from({ length: 40 }, () => open(url, true)))
    await Promise.all(downloads.map((answer) => once(answer, 'readable')))
    const ports = downloads.map((answer) => answer.socket.localPort ?? 0)
    // The one with less of them dies, so that 20 or more are at the other one.
    const [victim, other] = workersOf(server.pid)
      .map((pid) => ({ pid, peers: peersOf(pid) }))
      .map(({ pid, peers }) => ({ pid, at: ports.map((port) => peers.has(port)) }))
      .sort((a, b) => a.at.filter(Boolean).length - b.at.filter(Boolean).length)
    const theirs = downloads.filter((_, index) => other?.at[index])
    expect(theirs.length).toBeGreaterThanOrEqual(20)
    process.kill(victim?.pid ?? 0, 'SIGKILL')
    const ends = await Promise.allSettled(downloads.map((answer) => bytesOf(answer)))
    for (const [index, end] of ends.entries()) {
      // Those of the dead one are cut, or had all their bytes in the kernel; none ends early as if it were whole.
      if (other?.at[index]) expect(end.status).toBe('fulfilled')
      if (end.status === 'fulfilled') expect(end.value.equals(FILM)).toBe(true)
    }
    await vi.waitFor(
      async () => expect(await serving()).toEqual({ wanted: 2, serving: 2, restarts: 1 }),
      { timeout: 60_000 },
    )
    const now = workersOf(server.pid)
    expect(now).toContain(other?.pid)
    expect(now).not.toContain(victim?.pid)
    const answers = await askAll(`${server.http}/media/old.txt`)
    expect(answers.every(({ text }) => text === 'new')).toBe(true)
  })

  it('answer on the same port after all of them were killed', async () => {
    for (const pid of workersOf(server.pid)) process.kill(pid, 'SIGKILL')
    await vi.waitFor(
      async () => expect(await serving()).toMatchObject({ wanted: 2, serving: 2, restarts: 3 }),
      { timeout: 60_000 },
    )
    expect((await askAll(`${server.http}/media/old.txt`, 4))[0]?.text).toBe('new')
  })

  it('let what is under way end when the server stops', async () => {
    const answer = await open(`${server.http}/media/film.bin`)
    await once(answer, 'readable')
    const workers = workersOf(server.pid)
    const stopped = server.stop()
    expect((await bytesOf(answer)).equals(FILM)).toBe(true)
    expect(await stopped).toBe(0)
    const running = readdirSync('/proc')
    for (const pid of workers) expect(running).not.toContain(String(pid))
  })
})

it('ends with exit code 1 and the number when the port of its workers is taken', async () => {
  const other = createServer().listen(0)
  await once(other, 'listening')
  const address = other.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const env = { NEARCAST_HTTP_WORKERS: '2', NEARCAST_HTTP_PORT: `${port}` }
  await expect(startServer({ env })).rejects.toMatchObject({
    code: 1,
    output: expect.stringContaining(`port ${port} is in use`),
  })
  other.close()
})
