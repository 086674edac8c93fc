import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { runNearcast } from '../../server/cli/nearcast.ts'
import { writeReady } from '../../server/config/data-dir.ts'
import { collect } from '../../server/lib/bytes.ts'

const folder = mkdtempSync(join(tmpdir(), 'nearcast-cli-'))
const asked: {
  readonly line: string
  readonly token: string | undefined
  readonly body: string
}[] = []
const answers = new Map<string, readonly [status: number, body: unknown]>()
const api = createServer((request, response) => void answer(request, response))

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await collect(request)
  const line = `${request.method} ${request.url}`
  asked.push({ line, token: request.headers.authorization, body: body.toString() })
  const [status, said] = answers.get(line) ?? [
    404,
    { code: 'not-found', message: `nothing at ${line}` },
  ]
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(said === undefined ? '' : JSON.stringify(said))
}
let url = ''

beforeAll(async () => {
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`
  mkdirSync(join(folder, 'data'))
  await writeReady(join(folder, 'data'), {
    pid: process.pid,
    control: url,
    streams: [],
    adminToken: 'the-token',
  })
})
afterAll(async () => {
  api.closeAllConnections()
  await new Promise((resolve) => api.close(resolve))
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => {
  asked.length = 0
  answers.clear()
})

async function run(argv: readonly string[], env: Record<string, string> = {}, cwd = folder) {
  let out = ''
  let err = ''
  const exit = await runNearcast({
    argv,
    env,
    cwd,
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { exit, out, err }
}

const KEYS = {
  keys: [
    { id: '0f3a', name: 'main', masked: '…wxyz', createdAt: Date.UTC(2026, 0, 2, 3, 4, 5) },
    {
      id: '9bc1',
      name: 'studio-two',
      masked: '…abcd',
      backup: true,
      createdAt: Date.UTC(2026, 0, 3),
      until: Date.UTC(2026, 0, 4),
    },
  ],
}

describe('nearcast', () => {
  it('lists keys as a table or as JSON', async () => {
    answers.set('GET /api/v1/keys', [200, KEYS])
    expect(await run(['key', 'list'])).toEqual({
      exit: 0,
      out:
        'ID    STREAM      KEY    CREATED\n0f3a  main        …wxyz  2026-01-02 03:04:05\n' +
        '9bc1  studio-two  …abcd  2026-01-03 00:00:00  backup, until 2026-01-04 00:00:00\n',
      err: '',
    })
    expect(asked[0]?.token).toBe('Bearer the-token')
    expect(JSON.parse((await run(['key', 'list', '--json'])).out)).toEqual(KEYS)
  })

  it('creates a key and shows what goes into OBS', async () => {
    const made = {
      id: '1',
      name: 'main',
      key: 'abc',
      server: 'rtmp://127.0.0.1:1935/live',
      watch: 'http://127.0.0.1:8080/watch/live/main',
    }
    answers.set('POST /api/v1/keys', [201, made])
    const { exit, out } = await run(['key', 'create', 'main'])
    expect(exit).toBe(0)
    expect(out).toBe(
      'Server      rtmp://127.0.0.1:1935/live\nStream key  abc\nWatch       http://127.0.0.1:8080/watch/live/main\n' +
        'Keep the key: it is shown this once. From the next start on, ready.json in the data folder has it while the server runs.\n',
    )
    expect(asked[0]?.body).toBe('{"name":"main"}')
    await run(['key', 'create', 'main', '--backup'])
    expect(asked[1]?.body).toBe('{"name":"main","backup":true}')
  })

  it('lists the keys of one stream', async () => {
    answers.set('GET /api/v1/streams/main/keys', [200, { keys: KEYS.keys.slice(0, 1) }])
    expect((await run(['key', 'list', 'main'])).out).toContain('…wxyz')
  })

  it('makes a key in place of another, which may hold for a while', async () => {
    answers.set('GET /api/v1/keys', [200, KEYS])
    const made = { id: '7', key: 'new', former: '0f3a', formerUntil: Date.UTC(2026, 0, 5) }
    answers.set('POST /api/v1/keys/0f3a/rotate', [201, made])
    const { exit, out } = await run(['key', 'rotate', 'main', '--overlap', '10m'])
    expect(exit).toBe(0)
    expect(asked.at(-1)?.body).toBe('{"overlapSeconds":600}')
    expect(out).toContain('Stream key  new\n')
    expect(out).toContain('The former key 0f3a holds until 2026-01-05 00:00:00.\n')
    expect((await run(['key', 'rotate', '0f3a'])).out).toContain('0f3a is revoked.\n')
    expect(await run(['key', 'rotate', 'main', '--overlap', 'soon'])).toMatchObject({
      exit: 2,
      err: 'nearcast: --overlap: expected a duration such as 10m, got soon\n',
    })
  })

  it('revokes a key by id or by its stream’s name', async () => {
    answers.set('GET /api/v1/keys', [200, KEYS])
    answers.set('DELETE /api/v1/keys/9bc1', [204, undefined])
    expect(await run(['key', 'revoke', 'studio-two'])).toEqual({
      exit: 0,
      out: 'revoked 9bc1 of studio-two\n',
      err: '',
    })
    expect((await run(['key', 'revoke', '9bc1'])).exit).toBe(0)
    expect(await run(['key', 'revoke', 'nobody'])).toMatchObject({
      exit: 1,
      err: 'nearcast: no key has the id or stream name nobody; see: nearcast key list\n',
    })
  })

  it('invalidates paths', async () => {
    answers.set('POST /api/v1/invalidations', [201, { id: 'i7', status: 'in-progress' }])
    expect(await run(['invalidate', '/a', '/img/*'])).toEqual({
      exit: 0,
      out: 'i7 in-progress\n',
      err: '',
    })
    expect(asked[0]?.body).toBe('{"paths":["/a","/img/*"]}')
    await run(['invalidate', '/a', '--distribution', 'films'])
    expect(asked[1]?.body).toBe('{"paths":["/a"],"distribution":"films"}')
  })

  it('invalidates tags, softly, and says first what would go', async () => {
    answers.set('POST /api/v1/invalidations', [
      200,
      { dryRun: true, objects: 3, bytes: 4096, examples: ['/a\u001b[2J', '/b'] },
    ])
    const argv = ['invalidate', '/a', '--tag', 'shoes', '--tag=hats', '--soft', '--dry-run']
    expect(await run([...argv, '--examples', '2'])).toEqual({
      exit: 0,
      out: 'would take at this edge: 3 objects, 4096 bytes\n  /a[2J\n  /b\n',
      err: '',
    })
    expect(JSON.parse(asked[0]?.body ?? '')).toEqual({
      paths: ['/a'],
      tags: ['shoes', 'hats'],
      soft: true,
      dryRun: true,
      examples: 2,
    })
  })

  it('passes a number of examples that is none on, so that the server can name it', async () => {
    await run(['invalidate', '/a', '--dry-run', '--examples', 'many'])
    expect(JSON.parse(asked[0]?.body ?? '')).toMatchObject({ examples: 'many' })
  })

  it('undoes an invalidation by its id', async () => {
    answers.set('POST /api/v1/invalidations/i7/undo', [
      200,
      { id: 'i7', status: 'completed', undoneAt: 0, edges: [{ id: 'here', state: 'applied' }] },
    ])
    expect((await run(['invalidate', 'undo', 'i7'])).out).toBe(
      'i7 completed, undone 1970-01-01 00:00:00\n  here: applied\n',
    )
    answers.set('POST /api/v1/invalidations/i8/undo', [
      409,
      { code: 'conflict', message: 'invalidation i8 was made 75 s ago' },
    ])
    expect(await run(['invalidate', 'undo', 'i8'])).toMatchObject({
      exit: 1,
      err: 'nearcast: invalidation i8 was made 75 s ago\n',
    })
  })

  it('explains, probes and exports as YAML', async () => {
    answers.set('GET /api/v1/explain?url=http%3A%2F%2Fa%2Fb%3Fc%3D1', [
      200,
      { behavior: '*', steps: ['one'] },
    ])
    answers.set('GET /api/v1/probe?key=a%20b.mp4', [200, { codecs: 'avc1' }])
    answers.set('GET /api/v1/config', [200, { role: 'all' }])
    expect((await run(['explain', 'http://a/b?c=1'])).out).toBe('behavior: "*"\nsteps:\n  - one\n')
    expect((await run(['probe', 'a b.mp4'])).out).toBe('codecs: avc1\n')
    expect((await run(['config', 'export'])).out).toBe('role: all\n')
  })

  it('lists edges', async () => {
    answers.set('GET /api/v1/edges', [200, { edges: [{ id: 'home', seq: 4, self: true }] }])
    expect((await run(['edges'])).out).toBe(
      'ID    ADDRESS  CHANGES\nhome           4        this server\n' +
        'Other edges are listed when edges: in nearcast.yaml names them; they serve anyway.\n',
    )
    const perth = { id: 'perth', url: 'https://per.example.com' }
    answers.set('GET /api/v1/edges', [200, { edges: [{ id: 'home', seq: 4, self: true }, perth] }])
    expect((await run(['edges'])).out).not.toContain('Other edges')
  })

  it.each(['media/talks/x.mp4', './media/talks/x.mp4', '/talks/x.mp4'])(
    'says where names begin when there is no %s',
    async (name) => {
      const { exit, err } = await run(['probe', name])
      expect(exit).toBe(1)
      expect(err).toMatch(/inside the media folder or bucket; did you mean talks\/x\.mp4\?\n$/)
    },
  )

  it('shows the server’s own sentence when it refuses', async () => {
    answers.set('POST /api/v1/keys', [
      400,
      { code: 'bad-request', message: 'name: "a b" is not a name' },
    ])
    expect(await run(['key', 'create', 'a b'])).toEqual({
      exit: 2,
      out: '',
      err: 'nearcast: name: "a b" is not a name\n',
    })
    expect(await run(['probe', 'x'])).toMatchObject({
      exit: 1,
      err: 'nearcast: nothing at GET /api/v1/probe?key=x\n',
    })
  })

  it('finds a server by the environment where none runs in the folder', async () => {
    answers.set('GET /api/v1/keys', [200, { keys: [] }])
    const env = { NEARCAST_CONTROL_URL: url, NEARCAST_TOKEN: 'other' }
    const { exit, out } = await run(['key', 'list'], env, tmpdir())
    expect([exit, out]).toEqual([0, 'no stream keys; make one with: nearcast key create NAME\n'])
    expect(asked[0]?.token).toBe('Bearer other')
  })

  it('says what to do when there is no server', async () => {
    const empty = mkdtempSync(join(folder, 'empty-'))
    const { exit, err } = await run(['key', 'list'], {}, empty)
    expect(exit).toBe(3)
    expect(err).toContain('start one with npm start')
  })

  it('does not believe a ready.json whose server was killed', async () => {
    const ended = spawnSync(process.execPath, ['-e', ''])
    const data = mkdtempSync(join(folder, 'dead-'))
    await writeReady(data, { pid: ended.pid, control: url, streams: [], adminToken: 'x' })
    expect((await run(['key', 'list', '--data', data])).exit).toBe(3)
  })

  it('says that a server cannot be reached', async () => {
    const env = { NEARCAST_CONTROL_URL: 'http://127.0.0.1:1', NEARCAST_TOKEN: 'x' }
    const { exit, err } = await run(['edges'], env, tmpdir())
    expect(exit).toBe(1)
    expect(err).toMatch(/^nearcast: http:\/\/127\.0\.0\.1:1 cannot be reached: .+\n$/)
  })

  it('checks a configuration', async () => {
    writeFileSync(join(folder, 'good.yaml'), 'http: { port: 0 }')
    writeFileSync(join(folder, 'bad.yaml'), 'http: { prot: 0 }')
    expect(await run(['config', 'check', '--config', 'good.yaml'])).toMatchObject({
      exit: 0,
      err: '',
    })
    expect(await run(['config', 'check', '--config', 'bad.yaml'])).toEqual({
      exit: 2,
      out: '',
      err: 'bad.yaml: http.prot: unknown key; did you mean http.port?\n',
    })
  })

  it('says what a right configuration will not do', async () => {
    writeFileSync(
      join(folder, 'notes.yaml'),
      `origins: { app: { kind: file, root: ./nowhere } }
distributions:
  - { id: one, behaviors: [{ path: '*', origin: app, compress: true }] }
  - { id: two, behaviors: [{ path: '*', origin: app }] }
  - { id: old, kind: rtmp, origin: media }`,
    )
    const { exit, out } = await run(['config', 'check', '--config', 'notes.yaml'])
    expect([exit, out.split('\n')]).toEqual([
      0,
      [
        `${join(folder, 'notes.yaml')}: right (3 distributions, 3 origins)`,
        'note: a server runs here; it read its file when it started, so a change needs a restart',
        'note: distributions.one: compress is not in this version; text goes out as it is',
        'note: distributions.old: stored media over RTMP is not in this version',
        `note: origins.app: the folder ${join(folder, 'nowhere')} does not exist`,
        'note: distributions.two: the host * belongs to distributions.one already',
        '',
      ],
    ])
    const alone = ['config', 'check', '--config', 'good.yaml', '--data', 'nobody-runs-here']
    expect((await run(alone)).out).toMatch(/right \(1 distribution, 2 origins\)\n$/)
  })

  it.each([
    ['cert', 'none.pem', 'there is no such file'],
    ['key', 'folder.key', 'cannot be read (EISDIR)'],
  ])('refuses an rtmps.%s that cannot be read, with its path', async (which, name, why) => {
    for (const file of ['used.pem', 'used.key']) writeFileSync(join(folder, file), '')
    mkdirSync(join(folder, 'folder.key'), { recursive: true })
    const files = { cert: 'used.pem', key: 'used.key', [which]: name }
    const rtmps = JSON.stringify({ port: 0, ...files })
    writeFileSync(join(folder, 'tls.yaml'), `rtmps: ${rtmps}`)
    expect(await run(['config', 'check', '--config', 'tls.yaml'])).toEqual({
      exit: 2,
      out: '',
      err: `rtmps.${which}: ${join(folder, name)}: ${why}\n`,
    })
  })

  it('refuses a certificate that is none', async () => {
    for (const file of ['used.pem', 'used.key']) writeFileSync(join(folder, file), 'no PEM')
    writeFileSync(join(folder, 'tls.yaml'), 'rtmps: { port: 0, cert: used.pem, key: used.key }')
    const { exit, err } = await run(['config', 'check', '--config', 'tls.yaml'])
    expect([exit, err]).toEqual([
      2,
      expect.stringMatching(/^rtmps: certificate and key do not work: .*used\.pem.*\n$/),
    ])
  })

  it('prints the JSON Schema', async () => {
    expect(JSON.parse((await run(['config', 'schema'])).out)).toMatchObject({
      type: 'object',
      title: 'nearcast.yaml',
    })
  })

  it.each([
    [[], /which command\?/],
    [['kye', 'list'], /did you mean key list\?/],
    [['invalidate'], /Name paths, or tags/],
    [['invalidate', 'undo'], /usage: nearcast invalidate undo ID/],
    [['invalidat', '/a'], /did you mean invalidate\?/],
    [['key'], /key: which one\? key list, key create, key rotate, key revoke/],
    [['key', 'create'], /usage: nearcast key create NAME/],
    [['edges', 'more'], /usage: nearcast edges/],
    [['edges', '--colour'], /--colour: unknown flag/],
    [['edges', '--data'], /--data: needs a value/],
    [['constructor'], /unknown command/],
  ])('%o is wrong in one line', async (argv, expected) => {
    const { exit, out, err } = await run(argv)
    expect([exit, out, err.split('\n').length]).toEqual([2, '', 2])
    expect(err).toMatch(expected)
  })

  it('helps', async () => {
    for (const argv of [['--help'], ['help'], ['key', '-h']]) {
      const { exit, out } = await run(argv)
      expect(exit).toBe(0)
      expect(out).toContain('nearcast invalidate PATH…')
    }
  })
})
