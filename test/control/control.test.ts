import { request } from 'node:http'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ChangeLog, openChangeLog } from '../../server/control/change-log.ts'
import { EventFeed } from '../../server/control/event-feed.ts'
import { followerLog } from '../../server/control/follower-log.ts'
import type {
  ControlServices,
  RecordingServices,
  StreamReport,
} from '../../server/control/services.ts'
import {
  apiRoutes,
  type Control,
  type ControlDeps,
  startControl,
} from '../../server/control/start-control.ts'
import { ControlState } from '../../server/distribution/control-state.ts'
import { validateDistribution } from '../../server/distribution/schema.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { deferred } from '../../server/lib/deferred.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { systemRandom } from '../../server/lib/random.ts'

const TOKEN = 'a-token-for-tests'
let control: Control
let deps: ControlDeps
let changes: ChangeLog
let state: ControlState
let streams: StreamReport[]
let edgeSeq: number
let ready: boolean
let folder: string
/** How far the API's clock is ahead. */
let lateMs: number
const cut: string[] = []
const revoked: string[] = []

const main: StreamReport = {
  name: 'main',
  state: 'live' as const,
  startedAt: 1000,
  publisher: 'rtmp 10.0.0.9',
  tracks: [{ kind: 'video', codecString: 'avc1.64001f', width: 1280, height: 720 }],
  bitsPerSecond: 2_500_000,
}
const services: ControlServices = {
  health: () => ({
    status: ready ? 'ready' : 'draining',
    role: 'all',
    listeners: { rtmp: 'rtmp://127.0.0.1:1935/live', http: 'http://127.0.0.1:8080' },
    warnings: [],
    startedAt: 0,
  }),
  streams: () => streams,
  cutRevoked: (name) => {
    revoked.push(name)
  },
  cutStream: (name) => {
    cut.push(name)
    return streams.some((stream) => stream.name === name)
  },
  sessions: () => [],
  traffic: () => ({ requests: 10, hits: 8, misses: 2, errors: 0, bytes: 1000 }),
  cache: () => ({ bytes: 5 }),
  edges: () => [{ id: 'here', seq: edgeSeq, self: true }],
  previewInvalidation: async ({ paths }, { examples }) => ({
    objects: paths.length,
    bytes: 7,
    examples: paths.slice(0, examples),
  }),
  config: () => ({ http: { port: 8080 } }),
  probe: async (key) => {
    throw new NearcastError('object-not-found', `${key} is not in the bucket`)
  },
  explain: async (url) => ({ url }),
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-control-'))
  await mkdir(join(folder, 'assets'))
  await writeFile(join(folder, 'index.html'), '<!doctype html><title>console</title>')
  await writeFile(join(folder, 'assets', 'console.abc.js'), 'export {}')
  changes = await openChangeLog({ clock: systemClock, random: systemRandom, log: silentLog })
  const site = validateDistribution({ id: 'default', behaviors: [{ path: '*', origin: 'site' }] })
  if (site.kind === 'invalid') throw new Error(site.problems.join())
  state = new ControlState({
    distributions: [site.value],
    origins: { site: { kind: 'file', root: '/srv' } },
  })
  changes.subscribe((change) => state.apply(change))
  streams = [main]
  edgeSeq = Number.MAX_SAFE_INTEGER
  ready = true
  lateMs = 0
  cut.length = 0
  revoked.length = 0
  const metrics = new Metrics()
  metrics.counter('tests_total', 'Tests.').add(3)
  deps = {
    host: '127.0.0.1',
    port: 0,
    token: TOKEN,
    hosts: ['admin.example.com'],
    consoleFolder: folder,
    version: '1.2.3',
    changes,
    state: () => state.snapshot(),
    services,
    originDefaults: { region: 'eu-west-9', endpoint: 'http://s3:9000' },
    originFolder: '/etc/nearcast',
    stores: ['films-store'],
    clock: { ...systemClock, now: () => systemClock.now() + lateMs },
    random: systemRandom,
    log: silentLog,
    metrics,
  }
  control = await startControl(deps)
})
afterEach(async () => {
  await control.close()
  await rm(folder, { recursive: true })
})

interface Answer {
  readonly status: number
  readonly body: unknown
}
async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${control.port}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
}
const get = (path: string) => call('GET', `/api/v1${path}`)
const post = (path: string, body: unknown) => call('POST', `/api/v1${path}`, body)
const put = (path: string, body: unknown) => call('PUT', `/api/v1${path}`, body)
const remove = (path: string) => call('DELETE', `/api/v1${path}`)

function textOf(answer: Answer, name: string): string {
  const { body } = answer
  return typeof body === 'object' && body !== null ? String(Reflect.get(body, name)) : ''
}

describe('the operator’s door', () => {
  it('opens to the token alone, for every route', async () => {
    for (const authorization of [
      '',
      'Bearer',
      'Bearer wrong',
      `Basic ${TOKEN}`,
      `Bearer ${TOKEN}x`,
    ])
      for (const { method, path } of apiRoutes) {
        const response = await fetch(`http://127.0.0.1:${control.port}/api/v1${path}`, {
          method: method.toUpperCase(),
          headers: { authorization },
        })
        expect([path, response.status]).toEqual([path, 401])
        expect(await response.json()).toMatchObject({ code: 'unauthorized' })
      }
  })

  it.each([
    ['evil.example', 403],
    ['127.0.0.1', 200],
    ['[::1]:8090', 200],
    ['localhost:8090', 200],
    ['nearcast:8090', 200],
    ['admin.example.com', 200],
    ['127.0.0.1.evil.example', 403],
  ])('answers to names that are its own: %s', async (host, status) => {
    const got = await new Promise<number | undefined>((resolve, reject) => {
      const sent = request({ port: control.port, path: '/', headers: { host } }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
      sent.on('error', reject).end()
    })
    expect(got).toBe(status)
  })

  it('gives no page of another site a hand', async () => {
    const response = await fetch(`http://127.0.0.1:${control.port}/`, {
      headers: { origin: 'https://evil.example' },
    })
    expect(response.headers.get('access-control-allow-origin')).toBeNull()
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await response.text()).toContain('console')
  })
})

describe('streams and keys', () => {
  it('lists streams and cuts one', async () => {
    expect((await get('/streams')).body).toEqual({ streams: [main] })
    expect((await get('/streams/main')).body).toEqual(main)
    expect(await remove('/streams/main')).toEqual({ status: 204, body: undefined })
    expect(cut).toEqual(['main'])
    expect(await remove('/streams/other')).toMatchObject({
      status: 404,
      body: { code: 'stream-not-live', message: 'nobody publishes other' },
    })
  })

  it('shows a key once, when it is made', async () => {
    const made = await post('/keys', { name: 'main' })
    const key = textOf(made, 'key')
    expect(made).toMatchObject({
      status: 201,
      body: { name: 'main', watch: 'http://127.0.0.1:8080/watch/live/main' },
    })
    expect(key).toMatch(/^[a-z0-9]{24}$/)
    expect(state.snapshot().streamKeys.get(key)).toBe('main')
    const listed = await get('/keys')
    expect(listed.body).toMatchObject({ keys: [{ id: textOf(made, 'id'), name: 'main' }] })
    expect(JSON.stringify(listed.body)).not.toContain(key)
  })

  it('makes a key for a publisher that stands by', async () => {
    const made = await post('/keys', { name: 'main', backup: true })
    expect(made).toMatchObject({ status: 201, body: { name: 'main', backup: true } })
    const id = textOf(made, 'id')
    const listed = (await get('/keys')).body
    expect(listed).toMatchObject({
      keys: expect.arrayContaining([
        expect.objectContaining({ id, name: 'main', backup: true, createdAt: expect.any(Number) }),
      ]),
    })
    expect((await remove(`/keys/${id}`)).status).toBe(204)
  })

  it('cuts who publishes with a key that is revoked, whatever other keys there are', async () => {
    const first = textOf(await post('/keys', { name: 'main' }), 'id')
    const second = textOf(await post('/keys', { name: 'main' }), 'id')
    expect((await remove(`/keys/${first}`)).status).toBe(204)
    expect(revoked).toEqual(['main'])
    expect((await remove(`/keys/${second}`)).status).toBe(204)
    expect(revoked).toEqual(['main', 'main'])
    expect(cut).toEqual([])
    expect(state.snapshot().streamKeys.size).toBe(0)
    expect((await remove(`/keys/${second}`)).status).toBe(404)
  })

  it('lists the keys of one stream by their last four characters', async () => {
    const key = textOf(await post('/keys', { name: 'main' }), 'key')
    await post('/keys', { name: 'other' })
    expect((await get('/streams/main/keys')).body).toMatchObject({
      keys: [{ name: 'main', masked: `…${key.slice(-4)}` }],
    })
    expect((await get('/streams/nobody/keys')).body).toEqual({ keys: [] })
  })

  it('makes a key in place of another, which is revoked at once', async () => {
    const former = await post('/keys', { name: 'main', backup: true })
    const id = textOf(former, 'id')
    const made = await post(`/keys/${id}/rotate`, {})
    expect(made).toMatchObject({ status: 201, body: { name: 'main', backup: true, former: id } })
    expect(textOf(made, 'key')).not.toBe(textOf(former, 'key'))
    expect(revoked).toEqual(['main'])
    expect([...state.snapshot().streamKeys.keys()]).toEqual([textOf(made, 'key')])
    expect(await post(`/keys/${id}/rotate`, {})).toMatchObject({ status: 404 })
  })

  it('makes one key in place of another, when two ask for it at once', async () => {
    const former = textOf(await post('/keys', { name: 'main' }), 'id')
    const both = [1, 2].map(() => post(`/keys/${former}/rotate`, { overlapSeconds: 600 }))
    const answers = await Promise.all(both)
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409])
    expect((await get('/streams/main/keys')).body).toMatchObject({
      keys: [{ id: former }, { name: 'main' }],
    })
  })

  it('lets a key that is replaced hold for the overlap, and no longer', async () => {
    const former = textOf(await post('/keys', { name: 'main' }), 'id')
    const made = textOf(await post(`/keys/${former}/rotate`, { overlapSeconds: 600 }), 'id')
    expect(revoked).toEqual([])
    expect((await get('/keys')).body).toMatchObject({
      keys: [{ id: former, until: expect.any(Number) }, { id: made }],
    })
    expect(await post(`/keys/${former}/rotate`, {})).toMatchObject({
      status: 409,
      body: { code: 'conflict', message: `key ${former} was replaced already` },
    })
    lateMs = 601_000
    expect((await get('/keys')).body).toMatchObject({ keys: [{ id: made }] })
    expect(await remove(`/keys/${former}`)).toMatchObject({ status: 404 })
  })

  it.each([-1, 604_801, 'long'])('refuses an overlap of %j', async (overlapSeconds) => {
    const id = textOf(await post('/keys', { name: 'main' }), 'id')
    expect(await post(`/keys/${id}/rotate`, { overlapSeconds })).toMatchObject({ status: 400 })
  })

  it.each([{}, { name: 'a/b' }, { name: '' }, { name: 'x'.repeat(65) }, { name: 'a', more: 1 }])(
    'refuses %j as a key to make',
    async (body) => {
      expect(await post('/keys', body)).toMatchObject({
        status: 400,
        body: { code: 'bad-request' },
      })
    },
  )
})

describe('invalidations', () => {
  it('are in progress until every edge has applied them', async () => {
    edgeSeq = 0
    const made = await post('/invalidations', { paths: ['/a.jpg', '/films/*'] })
    expect(made).toMatchObject({ status: 201, body: { status: 'in-progress', distribution: '*' } })
    edgeSeq = 1
    expect((await get(`/invalidations/${textOf(made, 'id')}`)).body).toMatchObject({
      status: 'completed',
      paths: ['/a.jpg', '/films/*'],
    })
    expect((await get('/invalidations')).body).toMatchObject({ invalidations: [{ seq: 1 }] })
  })

  it('take tags by name or behind #, and may be soft', async () => {
    const made = await post('/invalidations', { paths: ['#a'], tags: ['b'], soft: true })
    expect(made).toMatchObject({ status: 201, body: { paths: ['#a', '#b'], soft: true } })
    expect(state.invalidations.check({ distribution: 'd', path: '/', tags: ['b'] }, 0).kind).toBe(
      'stale',
    )
  })

  it('of / take the default root object, which is what / is stored as', async () => {
    const root = validateDistribution({
      id: 'home',
      defaultRootObject: 'start/home.html',
      behaviors: [{ path: '*', origin: 'site' }],
    })
    if (root.kind === 'invalid') throw new Error(root.problems.join())
    await changes.append({ kind: 'distribution', distribution: root.value, removed: false })
    expect(
      await post('/invalidations', { paths: ['/', '/a'], distribution: 'home' }),
    ).toMatchObject({ status: 201, body: { paths: ['/', '/a', '/start/home.html'] } })
    expect((await post('/invalidations', { paths: ['/?x=1'] })).body).toMatchObject({
      paths: ['/?x=1', '/start/home.html'],
    })
    const none = await post('/invalidations', { paths: ['/'], distribution: 'default' })
    expect(none.body).toMatchObject({ paths: ['/'] })
  })

  it('say in a dry run what would go, and change nothing', async () => {
    const asked = { paths: ['/a', '/b'], dryRun: true, examples: 1 }
    expect(await post('/invalidations', asked)).toMatchObject({
      status: 200,
      body: { dryRun: true, objects: 2, bytes: 7, examples: ['/a'] },
    })
    expect(changes.position.seq).toBe(0)
  })

  it('name the edges that have applied them', async () => {
    edgeSeq = 0
    const made = await post('/invalidations', { paths: ['/a'] })
    expect(made.body).toMatchObject({ edges: [{ id: 'here', state: 'in-progress' }] })
    edgeSeq = 1
    expect((await get(`/invalidations/${textOf(made, 'id')}`)).body).toMatchObject({
      edges: [{ id: 'here', state: 'applied' }],
    })
  })

  it('are undone within a minute, once', async () => {
    const made = await post('/invalidations', { paths: ['/a'] })
    const what = { distribution: 'd', path: '/a', tags: [] }
    expect(state.invalidations.check(what, 0).kind).toBe('gone')
    const path = `/invalidations/${textOf(made, 'id')}`

    expect(await post(`${path}/undo`, undefined)).toMatchObject({
      status: 200,
      body: { undoneAt: expect.any(Number) },
    })
    expect(state.invalidations.check(what, 0).kind).toBe('valid')
    expect((await get(path)).body).not.toHaveProperty('undoableUntil')
    expect(await post(`${path}/undo`, undefined)).toMatchObject({
      status: 409,
      body: { code: 'conflict', message: expect.stringContaining('undone already') },
    })
    expect((await post('/invalidations/inone/undo', undefined)).status).toBe(404)
  })

  it('are undone where they were made: an edge names that place', async () => {
    const edge = await startControl({
      ...deps,
      changes: followerLog(() => changes.position, 'http://origin:8070'),
    })
    const response = await fetch(`http://127.0.0.1:${edge.port}/api/v1/invalidations/i1/undo`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}` },
    })
    await edge.close()
    expect([response.status, await response.json()]).toEqual([
      403,
      {
        code: 'forbidden',
        message: 'this edge follows http://origin:8070; make changes there',
      },
    ])
  })

  it('are not undone after the minute, and it says why', async () => {
    const made = await post('/invalidations', { paths: ['/a'] })
    lateMs = 61_000
    expect(await post(`/invalidations/${textOf(made, 'id')}/undo`, undefined)).toMatchObject({
      status: 409,
      body: { message: expect.stringMatching(/was made 61 s ago; it can be undone for 60 s/) },
    })
  })

  it.each([
    ['a comma in a tag', ['#a,b']],
    ['a tag without name', ['#']],
    ['no slash', ['a.jpg']],
    ['a star in the middle', ['/a*b']],
    ['a space', ['/a b']],
    ['too long', [`/${'a'.repeat(4000)}`]],
    ['nothing', []],
    ['no text', [1]],
    ['too many', Array.from({ length: 3001 }, () => '/a')],
  ])('refuse %s', async (_, paths) => {
    expect((await post('/invalidations', { paths })).status).toBe(400)
  })

  it('take the longest path there may be', async () => {
    expect((await post('/invalidations', { paths: [`/${'a'.repeat(3998)}*`] })).status).toBe(201)
  })

  it('want a distribution that exists', async () => {
    const body = { paths: ['/a'], distribution: 'nope' }
    expect(await post('/invalidations', body)).toMatchObject({ status: 404 })
    expect((await post('/invalidations', { ...body, distribution: 'default' })).status).toBe(201)
  })
})

describe('distributions and origins', () => {
  const films = { id: 'films', hosts: ['films.example'], behaviors: [{ path: '*', origin: 'vod' }] }

  it('are created, replaced and removed while running', async () => {
    expect(await post('/distributions', films)).toMatchObject({
      status: 201,
      body: { kind: 'web', enabled: true },
    })
    expect(await post('/distributions', films)).toMatchObject({
      status: 409,
      body: { code: 'conflict' },
    })
    expect((await put('/distributions/films', { ...films, enabled: false })).status).toBe(200)
    expect((await get('/distributions/films')).body).toMatchObject({ enabled: false })
    expect((await remove('/distributions/films')).status).toBe(204)
    expect((await get('/distributions/films')).status).toBe(404)
    expect(state.snapshot().distributions.map(({ id }) => id)).toEqual(['default'])
  })

  /** Changes are written only when so many wait for it: as on a slow disk. */
  const openGated = async (count: number) => {
    const gate = deferred()
    let waiting = 0
    const gated: ChangeLog = {
      ...followerLog(() => changes.position, ''),
      append: async (change, check) => {
        if (++waiting === count) gate.resolve()
        await gate.promise
        return changes.append(change, check)
      },
    }
    await control.close()
    control = await startControl({ ...deps, changes: gated })
  }

  it('are created once, however many ask for it at the same time', async () => {
    await openGated(4)
    const answers = await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) =>
        post('/distributions', { ...films, hosts: [`${name}.example`] }),
      ),
    )
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 409, 409, 409])
    const made = answers.find(({ status }) => status === 201)
    expect((await get('/distributions/films')).body).toEqual(made?.body)
  })

  it('hold their names: nobody else is given one of them', async () => {
    const hosts = ['films.example', '*.films.example']
    expect((await post('/distributions', { ...films, hosts })).status).toBe(201)
    for (const host of ['FILMS.example', '*.films.example', '*'])
      expect(await post('/distributions', { ...films, id: 'other', hosts: [host] })).toMatchObject({
        status: 409,
        body: { code: 'conflict', message: expect.stringMatching(/held by distribution/) },
      })
    const other = { ...films, id: 'other', hosts: ['a.films.example'] }
    expect((await post('/distributions', other)).status).toBe(201)
    expect(await put('/distributions/other', { ...other, hosts })).toMatchObject({ status: 409 })
    expect((await put('/distributions/films', { ...films, hosts, enabled: false })).status).toBe(
      200,
    )
    expect(await put('/distributions/other', { ...other, hosts })).toMatchObject({ status: 409 })
    await openGated(2)
    const both = await Promise.all(
      ['one', 'two'].map((id) => post('/distributions', { ...films, id, hosts: ['new.example'] })),
    )
    expect(both.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 409])
  })

  it('say which key is wrong and what is near it', async () => {
    expect(await post('/distributions', { ...films, host: ['a'] })).toMatchObject({
      status: 400,
      body: { code: 'config-invalid', message: expect.stringContaining('did you mean hosts') },
    })
    const unknown = { ...films, behaviors: [{ path: '*', origin: 'nope' }] }
    expect(await post('/distributions', unknown)).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining('there is no origin nope') },
    })
    expect((await put('/distributions/other', films)).status).toBe(400)
  })

  it('keep an origin that is in use, and never show what it is sent', async () => {
    const app = { kind: 'http', url: 'http://app:3000', headers: { 'x-auth': 'very-secret' } }
    const made = await put('/origins/app', app)
    expect(made).toMatchObject({ status: 200, body: { headers: { 'x-auth': '…' } } })
    expect(JSON.stringify((await get('/origins')).body)).not.toContain('very-secret')
    const group = { kind: 'group', members: ['app'] }
    expect((await put('/origins/apps', group)).status).toBe(200)
    expect((await put('/origins/more', { ...group, members: ['apps'] })).status).toBe(400)
    expect(await remove('/origins/app')).toMatchObject({
      status: 409,
      body: { message: 'app is used by origin apps' },
    })
    expect(await remove('/origins/site')).toMatchObject({ status: 409 })
    expect((await remove('/origins/apps')).status).toBe(204)
    expect((await remove('/origins/app')).status).toBe(204)
    expect((await put('/origins/live', app)).status).toBe(400)
  })

  it('are never groups of groups, whichever was there first', async () => {
    const app = { kind: 'http', url: 'http://app:3000' }
    await put('/origins/app', app)
    await put('/origins/app2', app)
    await put('/origins/apps', { kind: 'group', members: ['app'] })
    expect(await put('/origins/app', { kind: 'group', members: ['app2'] })).toMatchObject({
      status: 400,
      body: { message: 'app: is a member of apps, so it cannot be a group' },
    })
  })

  it('that stored media is read from stay a bucket or a folder', async () => {
    const folderOrigin = { kind: 'file', root: '/films' }
    expect((await put('/origins/films-store', folderOrigin)).status).toBe(200)
    const web = { kind: 'http', url: 'http://app:3000' }
    expect(await put('/origins/films-store', web)).toMatchObject({
      status: 400,
      body: { code: 'config-invalid', message: expect.stringContaining('s3 or file, not http') },
    })
    expect(await remove('/origins/films-store')).toMatchObject({
      status: 409,
      body: { message: 'films-store is used by the configuration (vod.origin or live.record)' },
    })
  })

  it('get what they leave out from where the configuration file’s get it', async () => {
    expect(await put('/origins/films', { kind: 's3', bucket: 'films' })).toMatchObject({
      status: 200,
      body: { region: 'eu-west-9', endpoint: 'http://s3:9000', pathStyle: true },
    })
    expect((await put('/origins/disk', { kind: 'file', root: 'films' })).body).toMatchObject({
      root: '/etc/nearcast/films',
    })
  })
})

describe('the rest of the API', () => {
  it('answers the console’s one question', async () => {
    expect((await get('/overview')).body).toMatchObject({
      health: { status: 'ready', role: 'all', version: '1.2.3' },
      streams: [{ name: 'main' }],
      traffic: { hits: 8 },
      position: { seq: 0 },
    })
  })

  it('passes a service’s error on with its code and status', async () => {
    expect(await get('/probe?key=a.mp4')).toEqual({
      status: 404,
      body: { code: 'object-not-found', message: 'a.mp4 is not in the bucket' },
    })
    expect((await get('/probe')).status).toBe(400)
    expect((await get('/explain?url=%2Fa%3Fb%3D1')).body).toEqual({ url: '/a?b=1' })
  })

  it('reads a JSON body whatever it is said to be', async () => {
    const send = (body: string, type: string) =>
      fetch(`http://127.0.0.1:${control.port}/api/v1/keys`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}`, 'content-type': type },
        body,
      })
    const form = 'application/x-www-form-urlencoded'
    expect((await send('{"name":"main"}', form)).status).toBe(201)
    const refused = await send('name=main', form)
    expect([refused.status, await refused.json()]).toEqual([
      400,
      { code: 'bad-request', message: 'the body is not JSON' },
    ])
  })

  it('refuses bodies it cannot read', async () => {
    expect(await post('/keys', '{"name":')).toMatchObject({ status: 400 })
    expect(await post('/keys', { name: 'x'.repeat(1024 * 1024) })).toMatchObject({
      status: 413,
      body: { code: 'content-too-large' },
    })
    expect((await get('/streams/%E0%A4%A')).status).toBe(400)
    expect((await get('/nothing')).body).toMatchObject({ code: 'not-found' })
  })

  it('describes every route, and nothing else', async () => {
    const { body } = await call('GET', '/api/openapi.json')
    const paths: unknown = typeof body === 'object' && body !== null && Reflect.get(body, 'paths')
    const described = Object.entries(paths ?? {}).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method} ${path}`),
    )
    expect(described.sort()).toEqual(
      apiRoutes.map(({ method, path }) => `${method} /api/v1${path}`).sort(),
    )
    const ids = JSON.stringify(body).match(/"operationId":"\w+"/g) ?? []
    expect(new Set(ids).size).toBe(apiRoutes.length)
  })

  it('tells who has the token what happens, and lets go when it closes', async () => {
    const feed = new EventFeed(systemClock, systemRandom)
    const telling = await startControl({ ...deps, events: feed })
    const url = `http://127.0.0.1:${telling.port}/api/v1/events`
    expect((await fetch(url)).status).toBe(401)
    const api = await fetch(`http://127.0.0.1:${telling.port}/api/openapi.json`)
    expect(
      Reflect.get(Reflect.get(Object(await api.json()), 'paths'), '/api/v1/events'),
    ).toMatchObject({
      get: {
        operationId: 'getEvents',
        parameters: [{ name: 'Last-Event-ID', in: 'header' }],
        responses: { 200: { content: { 'text/event-stream': {} } } },
      },
    })
    const response = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    feed.tell({ kind: 'publish', stream: 'main' })
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    const text = (await reader?.read())?.value ?? ''
    expect(text).toMatch(/^id: \w+-1\nevent: publish\ndata: \{.*"stream":"main"\}\n\n$/)
    await telling.close()
    expect((await reader?.read())?.done).toBe(true)
  })

  it('says at an edge where the events are', async () => {
    const edge = await startControl({
      ...deps,
      changes: followerLog(() => changes.position, 'http://origin:8070'),
    })
    const url = `http://127.0.0.1:${edge.port}/api/v1/events`
    const unknown = await fetch(url)
    const response = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })
    await edge.close()
    expect([unknown.status, response.status, await response.json()]).toEqual([
      401,
      404,
      {
        code: 'not-found',
        message:
          'nobody publishes at an edge: events are told by the API of its parent http://origin:8070',
      },
    ])
  })

  it('tells probes and Prometheus how it is without a token', async () => {
    const plain = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${control.port}${path}`)
      return [response.status, await response.text()]
    }
    expect(await plain('/healthz')).toEqual([200, 'ok\n'])
    expect(await plain('/readyz')).toEqual([200, 'ready\n'])
    expect((await plain('/metrics'))[1]).toContain('tests_total 3')
    ready = false
    expect(await plain('/readyz')).toEqual([503, 'draining\n'])
    expect(await plain('/assets/console.abc.js')).toEqual([200, 'export {}'])
    expect((await plain('/assets/../index.html'))[0]).toBe(404)
  })

  it('names the port that is taken', async () => {
    const { port } = control
    await expect(
      startControl({
        host: '127.0.0.1',
        port,
        token: TOKEN,
        consoleFolder: folder,
        version: '1',
        changes,
        state: () => state.snapshot(),
        services,
        originDefaults: { region: 'us-east-1', endpoint: undefined },
        originFolder: '/',
        stores: [],
        clock: systemClock,
        random: systemRandom,
        log: silentLog,
        metrics: new Metrics(),
      }),
    ).rejects.toMatchObject({ code: 'port-taken', message: expect.stringContaining(`${port}`) })
  })
})

describe('recordings', () => {
  const report = { stream: 'main', key: 'recordings/main/20260101T000000Z', state: 'complete' }
  const other = { stream: 'other', key: 'recordings/other/20260101T000000Z', state: 'recording' }
  const asked: unknown[] = []
  const recordings: RecordingServices = {
    list: () => ({ recordings: [report, other], clips: [] }),
    remove: async (key) => {
      asked.push(key)
    },
    clip: async (request) => {
      asked.push(request)
      return report
    },
  }

  beforeEach(async () => {
    asked.length = 0
    await control.close()
    control = await startControl({ ...deps, services: { ...services, recordings } })
  })

  it('lists those of a stream with the address they play at', async () => {
    const playlist = '/vod/recordings/main/20260101T000000Z/index.m3u8'
    expect(await get('/recordings?stream=main')).toEqual({
      status: 200,
      body: { recordings: [{ ...report, playlist }], clips: [] },
    })
  })

  it('cuts a clip by dates, by milliseconds, and by seconds before the live edge', async () => {
    const from = '2026-01-01T00:00:00Z'
    expect((await post('/streams/main/clips', { from, to: Date.UTC(2026, 0, 2) })).status).toBe(201)
    await post('/streams/main/clips', { from: -30 })
    const at = Date.UTC(2026, 0, 1)
    expect(asked).toEqual([
      { stream: 'main', from: { at }, to: { at: Date.UTC(2026, 0, 2) } },
      { stream: 'main', from: { secondsBack: 30 }, to: { secondsBack: 0 } },
    ])
  })

  it('says what a moment looks like', async () => {
    const answer = await post('/streams/main/clips', { from: 'yesterday' })
    expect(answer.status).toBe(400)
    expect(textOf(answer, 'message')).toContain('a date such as 2026-11-27T07:30:00Z')
  })

  it('removes recordings and clips by name', async () => {
    expect((await remove('/recordings/main/20260101T000000Z')).status).toBe(204)
    expect((await remove('/streams/main/clips/abc')).status).toBe(204)
    expect(asked).toEqual(['recordings/main/20260101T000000Z', 'recordings/main/clips/abc'])
  })
})
