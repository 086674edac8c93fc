import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  buildOnce,
  PROJECT,
  ServerExit,
  serverEnv,
  startServer,
  type TestServer,
} from '../support/server.ts'

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )
const failureOf = async (start: Promise<unknown>): Promise<ServerExit> => {
  const error = await start.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (error instanceof ServerExit) return error
  throw new Error(`the server did not end: ${String(error)}`)
}

const portOf = (server: Server): string => {
  const address = server.address()
  return typeof address === 'object' && address !== null ? String(address.port) : ''
}

/** A request whose body never comes to its end. */
const halfRequest = async (address: string): Promise<Socket> => {
  const { host, port } = new URL(address)
  const socket = connect(Number(port), '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(`POST /x HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 9\r\n\r\n{`)
  return socket
}

describe('a running server', () => {
  let server: TestServer
  beforeAll(async () => {
    const config = 'srt: { streams: [{ name: cam, port: 19871, passphrase: a-long-secret }] }'
    server = await startServer({ config })
  })
  afterAll(() => server.stop())

  it('says where it is in ready.json, to its owner alone', async () => {
    const { ready } = server
    expect(ready).toMatchObject({
      pid: expect.any(Number),
      http: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      control: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      rtmp: expect.stringMatching(/^rtmp:\/\/127\.0\.0\.1:\d+\/live$/),
      streams: [{ name: 'main', key: expect.stringMatching(/^[a-z0-9]{16,}$/) }],
      adminToken: expect.stringMatching(/^[a-z0-9]{32}$/),
      srt: [{ name: 'cam', url: 'srt://127.0.0.1:19871' }],
    })
    expect((await stat(join(server.data, 'ready.json'))).mode & 0o777).toBe(0o600)
    expect(process.kill(ready.pid, 0)).toBe(true)
    expect((await fetch(`${ready.control}/readyz`)).status).toBe(200)
  })

  it('prints only addresses that it answers', async () => {
    for (const [, url = ''] of server
      .output()
      .matchAll(/(http:\S+(?:\/watch\/live\/main|\/)) *\n/g))
      expect([url, (await fetch(url)).status]).toEqual([url, 200])
    expect(server.output()).toContain(`${server.http}/watch/live/main`)
    expect(server.output()).toContain(
      'srt        srt://127.0.0.1:19871   (stream "cam", with its passphrase)\n',
    )
    expect(server.output()).not.toContain('a-long-secret')
  })

  it('shows a browser at the address of no film a page, and tells a program in JSON', async () => {
    const address = `${server.http}/vod/sample.mp4`
    const page = await fetch(address, { headers: { accept: 'text/html,*/*' } })
    expect([page.status, page.headers.get('content-type')]).toEqual([
      404,
      'text/html; charset=utf-8',
    ])
    expect(await page.text()).toContain('at /watch/vod/')
    expect(await (await fetch(address)).json()).toMatchObject({ code: 'not-found' })
  })

  it('drains within ten seconds with a viewer in the middle of a stream, and takes ready.json back', async () => {
    const viewer = await fetch(`${server.http}/media/sample.mp4`)
    expect(viewer.status).toBe(200)
    const half = await Promise.all(
      [server.http, server.control, server.ready.origin ?? ''].map(halfRequest),
    )
    const began = performance.now()
    expect(await server.stop({ keep: true })).toBe(0)
    // Each listener's grace alone is 2 to 4 s: they run side by side, or the live windows would not be saved in time.
    expect(performance.now() - began).toBeLessThan(7000)
    expect(server.output()).not.toContain('cut what had not closed')
    expect(await exists(join(server.data, 'ready.json'))).toBe(false)
    await rm(join(server.data, '..'), { recursive: true })
    for (const socket of half) socket.destroy()
    await viewer.body?.cancel().catch(() => {})
  })
})

describe('a start', () => {
  it('shows its secrets at the first start only, and keeps them', async () => {
    const data = await mkdtemp(join(tmpdir(), 'nearcast-data-'))
    const first = await startServer({ data })
    await first.stop()
    const second = await startServer({ data })
    expect(second.ready).toMatchObject({
      adminToken: first.ready.adminToken,
      streams: first.ready.streams,
    })
    expect(first.output()).toContain(first.streamKey)
    expect(first.output()).toContain(first.ready.adminToken)
    expect(second.output()).not.toContain(first.streamKey)
    expect(second.output()).not.toContain(first.ready.adminToken)
    expect(second.output()).toContain(`stream key: in ${join(data, 'ready.json')}; another:`)
    await second.stop()
    await rm(data, { recursive: true })
  })

  it('shows them again after a start that did not become ready', async () => {
    const data = await mkdtemp(join(tmpdir(), 'nearcast-data-'))
    const other = createServer().listen(0)
    await once(other, 'listening')
    const env = { NEARCAST_CONTROL_PORT: portOf(other) }
    const failed = await failureOf(startServer({ data, env }))
    expect(failed.code).toBe(1)
    other.close()
    await using server = await startServer({ data })
    expect(server.output()).toContain(server.streamKey)
    expect(server.output()).toContain(server.ready.adminToken)
    await server.stop()
    await rm(data, { recursive: true })
  })

  it('keeps others out of its data folder while it runs, and only then', async () => {
    const data = await mkdtemp(join(tmpdir(), 'nearcast-data-'))
    const server = await startServer({ data })
    const second = await failureOf(startServer({ data }))
    expect([second.code, second.output.trim()]).toEqual([
      1,
      `nearcast: a server already runs with this data folder (pid ${server.pid}); give this one its own: --data DIR or NEARCAST_DATA_DIR`,
    ])
    expect(JSON.parse(await readFile(join(data, 'ready.json'), 'utf8'))).toEqual(server.ready)
    await server.stop()
    // What a killed server leaves, its pid now somebody else's.
    await writeFile(join(data, 'ready.json'), JSON.stringify({ ...server.ready, pid: process.pid }))
    const third = await startServer({ data })
    expect(third.ready.pid).toBe(third.pid)
    // Another's file is not taken away.
    await writeFile(join(data, 'ready.json'), JSON.stringify(server.ready))
    await third.stop()
    expect(JSON.parse(await readFile(join(data, 'ready.json'), 'utf8'))).toEqual(server.ready)
    await rm(data, { recursive: true })
  })

  it('lets one of several in that are started at once, and the next one when that was killed', async () => {
    const data = await mkdtemp(join(tmpdir(), 'nearcast-data-'))
    const started = await Promise.allSettled([1, 2, 3].map(() => startServer({ data })))
    const servers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const failures = started.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
    expect(servers).toHaveLength(1)
    for (const failure of failures)
      expect(failure).toMatchObject({
        code: 1,
        output: expect.stringContaining('already runs with this data folder'),
      })
    const [server] = servers
    if (server) process.kill(server.pid, 'SIGKILL')
    await server?.stop({ keep: true })
    const next = await startServer({ data })
    expect(next.ready.pid).toBe(next.pid)
    await next.stop()
    await rm(data, { recursive: true })
  })

  it('sends those who ask an edge for keys to its parent, and shows the edge’s own token', async () => {
    await using origin = await startServer()
    const parent = origin.ready.origin ?? ''
    await using edge = await startServer({
      env: {
        NEARCAST_ROLE: 'edge',
        NEARCAST_PARENT: parent,
        NEARCAST_PARENT_TOKEN: origin.ready.edgeToken ?? '',
      },
    })
    expect(edge.output()).toContain(edge.ready.adminToken)
    expect(edge.output()).toContain(`${edge.http}/watch/live/NAME`)
    expect(await edge.api('GET', '/keys')).toMatchObject({
      status: 403,
      body: { message: `this edge follows ${parent}; make changes there` },
    })
  })

  it('prints no address of pages that it has not, and which folder of media is not there', async () => {
    const config = `distributions:
  - id: shop
    hosts: [shop.example]
    behaviors: [{ path: '*', origin: site }]`
    await using shop = await startServer({ config, env: { NEARCAST_MEDIA: '/nowhere/films' } })
    expect(shop.output()).toContain(`${shop.http}   (by host name: shop.example)`)
    expect(shop.output()).not.toMatch(/\/watch\//)
    expect(shop.output()).toContain('origins.media: the folder /nowhere/films does not exist')
  })

  it('publishes its demo under the stream’s name where everyone may publish, on whatever address that is', async () => {
    const config = 'publish: { auth: open }\nrtmp: { host: 127.0.0.2 }'
    await using server = await startServer({ config, args: ['--demo'] })
    await vi.waitFor(
      async () =>
        expect(await server.api('GET', '/streams')).toMatchObject({
          body: { streams: [{ name: 'main' }] },
        }),
      { timeout: 60_000, interval: 200 },
    )
  })

  it('keeps the media origin that its films come from, and plays them after a restart', async () => {
    const data = await mkdtemp(join(tmpdir(), 'nearcast-data-'))
    const config = `distributions:
  - id: default
    behaviors: [{ path: '/vod/*', origin: vod }, { path: '*', origin: site }]`
    const first = await startServer({ data, config })
    const film = '/vod/sample.mp4/index.m3u8'
    expect((await fetch(`${first.http}${film}`)).status).toBe(200)
    expect((await first.api('DELETE', '/origins/media')).status).toBe(409)
    await first.stop()
    await using second = await startServer({ data, config })
    expect((await fetch(`${second.http}${film}`)).status).toBe(200)
    await second.stop()
    await rm(data, { recursive: true })
  })
})

describe('a server that cannot start', () => {
  it('ends with 1 and the number of the port that is taken', async () => {
    const other = createServer().listen(0)
    await once(other, 'listening')
    const port = portOf(other)
    const ends = ['HTTP', 'RTMP', 'CONTROL'].map(async (name) => {
      const env = { [`NEARCAST_${name}_PORT`]: port }
      return [name, await failureOf(startServer({ env }))] as const
    })
    for (const [name, end] of await Promise.all(ends)) {
      expect([name, end.code]).toEqual([name, 1])
      expect(end.output).toContain(
        `port ${port} is in use; choose another with NEARCAST_${name}_PORT or ${name.toLowerCase()}.port`,
      )
      expect(end.output.trim().split('\n')).toHaveLength(1)
    }
    other.close()
  })

  // What else a line can say is with the configuration's own tests.
  it('ends with 2 and one line for a configuration that is wrong', async () => {
    const end = await failureOf(startServer({ config: 'http: { prot: 1 }' }))
    expect(end.code).toBe(2)
    expect(end.output.trim().split('\n')).toHaveLength(1)
    expect(end.output).toContain('did you mean http.port')
  })

  it('ends with 2 where its data folder is a file', async () => {
    const file = join(PROJECT, 'package.json')
    const end = await failureOf(startServer({ env: { NEARCAST_DATA_DIR: file } }))
    expect([end.code, end.output.trim()]).toEqual([
      2,
      `nearcast: data: the folder ${file} cannot be made (EEXIST); name another with --data`,
    ])
  })

  it('ends with 0 when it is stopped while it waits for its parent', async () => {
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const port = portOf(closed)
    closed.close()
    buildOnce()
    const folder = await mkdtemp(join(tmpdir(), 'nearcast-edge-'))
    const child = spawn(process.execPath, [join(PROJECT, 'dist/server/main.js')], {
      cwd: folder,
      env: serverEnv(folder, {
        NEARCAST_ROLE: 'edge',
        NEARCAST_PARENT: `http://127.0.0.1:${port}`,
        NEARCAST_PARENT_TOKEN: 'a'.repeat(32),
      }),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    // It says that its parent is lost, and tries again.
    await once(child.stderr, 'data')
    const began = performance.now()
    child.kill('SIGTERM')
    const [code] = await once(child, 'exit')
    expect(code).toBe(0)
    expect(performance.now() - began).toBeLessThan(5000)
    await rm(folder, { recursive: true })
  })

  it('ends with 2 for a flag it does not know', async () => {
    const end = await failureOf(startServer({ args: ['--rol=edge'] }))
    expect([end.code, end.output]).toEqual([2, expect.stringContaining('--role')])
  })
})

// An idle machine starts a Node that does nothing in 45 ms.
const BARE_STARTS = 60
const bareNodeMs = () => {
  const began = performance.now()
  for (let count = 0; count < 5; count += 1) execFileSync(process.execPath, ['-e', ''])
  return (performance.now() - began) / 5
}

describe('npm start', () => {
  let folder: string
  beforeEach(async () => {
    buildOnce()
    folder = await mkdtemp(join(tmpdir(), 'nearcast-start-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  const start = () => {
    const child = spawn('npm', ['start', '--', '--data', join(folder, 'data')], {
      cwd: PROJECT,
      env: serverEnv(folder),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ready = new Promise<void>((resolve) => {
      let text = ''
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString()
        if (text.includes('Nearcast is ready')) resolve()
      })
    })
    let errors = ''
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk.toString()
    })
    return { child, ready, errors: () => errors, ended: once(child, 'exit') }
  }

  it('is ready in three seconds once installed, says nothing of setting up, and passes SIGTERM on once', {
    retry: 2,
  }, async () => {
    const nodeMs = bareNodeMs()
    const began = performance.now()
    const { child, ready, errors, ended } = start()
    await ready
    const took = performance.now() - began
    child.kill('SIGTERM')
    child.kill('SIGTERM')
    expect((await ended)[0]).toBe(0)
    expect(errors().match(/draining/g)).toHaveLength(1)
    expect(errors()).not.toMatch(/installing|building/)
    // On a machine that is busy with other things everything takes longer, Node itself too.
    expect(took).toBeLessThan(Math.max(3000, BARE_STARTS * nodeMs))
  })

  it('passes SIGINT on once and ends with the server’s code', async () => {
    const { child, ready, errors, ended } = start()
    await ready
    child.kill('SIGINT')
    child.kill('SIGINT')
    expect((await ended)[0]).toBe(0)
    expect(errors().match(/draining/g)).toHaveLength(1)
  })
})
