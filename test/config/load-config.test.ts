import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { configurationPage, configurationSchema } from '../../server/config/describe-settings.ts'
import { exportConfig } from '../../server/config/export-config.ts'
import { loadConfig } from '../../server/config/load-config.ts'
import { notesOn } from '../../server/config/notes.ts'
import { hasCode } from '../../server/lib/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'nearcast-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Case {
  readonly argv?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

function load(yaml: string, { argv = [], env = {} }: Case = {}) {
  writeFileSync(join(folder, 'nearcast.yaml'), yaml)
  return loadConfig({ argv, env, cwd: folder })
}

function complaint(yaml: string, options: Case = {}): string {
  try {
    load(yaml, options)
  } catch (error) {
    if (hasCode(error, 'config-invalid')) return error.message.replace('config-invalid: ', '')
    throw error
  }
  return 'nothing'
}

// The example that the project promises to understand.
const EXAMPLE = `
http: { host: 0.0.0.0, port: 8080 }
https: { port: 8443, cert: tls.crt, key: tls.key }
rtmp: { host: 0.0.0.0, port: 1935 }
control: { host: 127.0.0.1, port: 8090 }
publish: { auth: keys }
live: { partSeconds: 0.2, dvrSeconds: 7200, ladder: auto, record: media }
vod: { origin: media }
cache: { memoryBytes: 512MiB, diskBytes: 10GiB, sliceBytes: 1MiB }
origins:
  media:  { kind: s3, bucket: my-videos, region: eu-west-1 }
  images: { kind: s3, bucket: my-images, region: eu-west-1 }
  site:   { kind: file, root: ./media/site }
  app:    { kind: http, url: http://10.0.0.5:3000, timeouts: { connect: 10s, response: 30s }, headers: { x-origin-auth: secret } }
  app2:   { kind: http, url: http://10.0.0.6:3000 }
  apps:   { kind: group, members: [app, app2], balance: round-robin, failOn: [500, 502, 503, 504], health: { path: /healthz } }
edges:
  - { id: perth, at: [-31.95, 115.86], url: https://per.cdn.example.com }
distributions:
  - id: default
    enabled: true
    hosts: ['*']
    defaultRootObject: index.html
    behaviors:
      - { path: '/live/*',  origin: live }
      - { path: '/vod/*',   origin: vod }
      - { path: '/media/*', origin: media, strip: /media, ttl: { min: 0, default: 60, max: 31536000 } }
      - { path: '/watch/*', origin: pages }
      - { path: '*.php',    origin: apps, methods: all, ttl: { min: 0, default: 0, max: 0 }, key: { query: all, headers: [], cookies: all } }
      - { path: '*',        origin: site, ttl: { default: 3600 }, compress: true, errors: { 404: { page: /404.html, as: 404, ttl: 10 } } }
  - id: films
    kind: rtmp
    hosts: ['*']
    apps: [vod, cfx/st]
    origin: media
    signers: []
`

describe('the configuration', () => {
  it('is all defaults without a file', () => {
    const config = loadConfig({ env: {}, cwd: join(folder, 'nowhere') })
    expect(config).toMatchObject({
      role: 'all',
      demo: false,
      data: join(folder, 'nowhere', 'data'),
      http: { host: '0.0.0.0', port: 8080 },
      rtmp: { port: 1935 },
      control: { host: '127.0.0.1', port: 8090 },
      origin: { host: '127.0.0.1', port: 0 },
      publish: { auth: 'keys' },
      live: { partSeconds: 0.2, dvrSeconds: 7200, reconnectSeconds: 60, record: undefined },
      cache: { memoryBytes: 536_870_912, sliceBytes: 1_048_576 },
      log: { level: 'info' },
      file: undefined,
    })
    expect(config.https).toBeUndefined()
    expect(config.origins['media']).toEqual({ kind: 'file', root: join(process.cwd(), 'media') })
    expect(config.origins['site']).toEqual({
      kind: 'file',
      root: join(process.cwd(), 'media', 'site'),
    })
    const [distribution] = config.distributions
    const behaviors = distribution?.kind === 'web' ? distribution.behaviors : []
    expect(behaviors.map(({ path, origin }) => `${path} ${origin}`)).toEqual([
      '/live/* live',
      '/vod/* vod',
      '/media/* media',
      '/watch/* pages',
      '/embed/* pages',
      '/oembed pages',
      '/player.js pages',
      '/player/* pages',
      '* site',
    ])
  })

  it('names a nearcast.yml that nobody would read, and reads it when told to', () => {
    const cwd = mkdtempSync(join(tmpdir(), 'nearcast-yml-'))
    writeFileSync(join(cwd, 'nearcast.yml'), 'http: { port: 81 }')
    try {
      expect(() => loadConfig({ env: {}, cwd })).toThrow(
        'config-invalid: nearcast.yml: is not read by itself; rename it to nearcast.yaml, or start with --config nearcast.yml',
      )
      const named = loadConfig({ argv: ['--config', 'nearcast.yml'], env: {}, cwd })
      expect(named.http.port).toBe(81)
      writeFileSync(join(cwd, 'nearcast.yaml'), 'http: { port: 82 }')
      expect(loadConfig({ env: {}, cwd }).http.port).toBe(82)
    } finally {
      rmSync(cwd, { recursive: true, force: true })
    }
  })

  it('understands the example of the manual', () => {
    const config = load(EXAMPLE)
    expect(config.https).toEqual({
      host: '0.0.0.0',
      port: 8443,
      cert: join(folder, 'tls.crt'),
      key: join(folder, 'tls.key'),
    })
    expect(config.live.record).toBe('media')
    expect(config.origins['site']).toEqual({ kind: 'file', root: join(folder, 'media', 'site') })
    expect(config.origins['app']).toMatchObject({
      timeouts: { connectMs: 10_000, responseMs: 30_000 },
    })
    expect(config.edges).toEqual([
      { id: 'perth', at: [-31.95, 115.86], url: 'https://per.cdn.example.com' },
    ])
    expect(config.distributions.map(({ id, kind }) => [id, kind])).toEqual([
      ['default', 'web'],
      ['films', 'rtmp'],
    ])
  })

  it('lets flags beat environment, environment beat the file, the file beat the defaults', () => {
    const yaml = 'role: origin\nhttp: { port: 1000 }\nrtmp: { port: 2000 }'
    const env = { NEARCAST_ROLE: 'control', NEARCAST_HTTP_PORT: '0', NEARCAST_RTMP_PORT: '' }
    const config = load(yaml, { argv: ['--role=all', '--demo', '--data', 'here'], env })
    expect(config).toMatchObject({
      role: 'all',
      demo: true,
      data: join(folder, 'here'),
      http: { port: 0, host: '0.0.0.0' },
      rtmp: { port: 2000 },
    })
  })

  it('takes stored media from a folder or a bucket', () => {
    const file = 'origins: { media: { kind: file, root: films } }'
    expect(load(file).origins['media']).toEqual({ kind: 'file', root: join(folder, 'films') })
    expect(load('media: films').origins['media']).toEqual({
      kind: 'file',
      root: join(folder, 'films'),
    })
    const env = {
      NEARCAST_MEDIA: 's3://my-videos/a/b/',
      NEARCAST_S3_ENDPOINT: 'http://127.0.0.1:9000',
      AWS_REGION: 'ap-southeast-2',
    }
    expect(load(file, { env }).origins['media']).toEqual({
      kind: 's3',
      bucket: 'my-videos',
      prefix: 'a/b/',
      region: 'ap-southeast-2',
      endpoint: 'http://127.0.0.1:9000',
      pathStyle: true,
    })
    expect(load(file, { env }).originDefaults).toEqual({
      region: 'ap-southeast-2',
      endpoint: 'http://127.0.0.1:9000',
    })
  })

  it('tells an edge where its origin is', () => {
    const env = { NEARCAST_PARENT: 'http://10.0.0.1:8091', NEARCAST_PARENT_TOKEN: 'abcdefgh' }
    expect(load('', { argv: ['--role', 'edge'], env }).parent).toEqual({
      url: 'http://10.0.0.1:8091',
      token: 'abcdefgh',
    })
  })

  it.each([
    ['0', 0],
    ['2', 2],
    ['auto', 'auto'],
  ])('takes %s for the number of workers, from flag, variable or file', (said, workers) => {
    expect(load('', { argv: ['--workers', said] }).http.workers).toBe(workers)
    expect(load('', { env: { NEARCAST_HTTP_WORKERS: said } }).http.workers).toBe(workers)
    expect(load(`http: { workers: ${said} }`).http.workers).toBe(workers)
  })

  it.each(['257', '-1', 'many', '1.5'])('takes no %s for it', (said) => {
    const told = complaint(`http: { workers: ${said} }`)
    expect(told).toContain('http.workers: ')
    expect(told).toContain('is not auto or a whole number from 0 to 256')
  })

  it('is not confused by what Kubernetes says of services that are named like it', () => {
    const env = {
      NEARCAST_SERVICE_HOST: '10.0.0.1',
      NEARCAST_SERVICE_PORT_HTTP: '8080',
      NEARCAST_PORT: 'tcp://10.0.0.1:8080',
      NEARCAST_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
      NEARCAST_PORT_8080_TCP_PROTO: 'tcp',
      NEARCAST_RTMP_SERVICE_PORT: '1935',
      NEARCAST_RTMP_PORT: 'tcp://10.0.0.2:1935',
      NEARCAST_HTTP_PORT: '81',
    }
    expect(load('', { env })).toMatchObject({ http: { port: 81 }, rtmp: { port: 1935 } })
    expect(complaint('', { env: { NEARCAST_PORT: '8080' } })).toContain('unknown variable')
  })

  it('reads a file of another name only when it is named', () => {
    writeFileSync(join(folder, 'other.yaml'), 'http: { port: 7 }')
    expect(load('').http.port).toBe(8080)
    expect(load('', { argv: ['--config', 'other.yaml'] }).http.port).toBe(7)
    expect(load('', { env: { NEARCAST_CONFIG: 'other.yaml' } }).http.port).toBe(7)
  })

  it('cannot be changed', () => {
    const config = load(EXAMPLE)
    expect(Object.isFrozen(config.distributions[0])).toBe(true)
    expect(Object.isFrozen(config.origins['app'])).toBe(true)
  })

  it('is exported without the secrets and paths of hooks, and says that they are missing', () => {
    const hooks = "hooks: [{ url: 'https://example.com/T0KEN?x=T0KEN', secret: T0KEN-of-ours }]"
    const exported = JSON.stringify(exportConfig(load(hooks)))
    expect(exported).not.toContain('T0KEN')
    const again = load(exported)
    expect(again.hooks[0]?.events).toEqual(['publish', 'unpublish', 'record', 'error'])
    expect(notesOn(again).join()).toContain('hooks.0.secret: (hidden)')
  })

  it('is exported without the secret and path of who decides on publishers', () => {
    const admission = "admission: { url: 'https://example.com/T0KEN', secret: T0KEN-of-ours }"
    const exported = JSON.stringify(exportConfig(load(admission)))
    expect(exported).not.toContain('T0KEN')
    const again = load(exported)
    expect(again.admission?.timeoutSeconds).toBe(3)
    expect(notesOn(again).join()).toContain('admission.secret: (hidden)')
  })

  it('is exported without passphrases, and of pulled addresses with the server alone', () => {
    const config = load(`
srt: { streams: [{ name: stage, port: 9000, passphrase: T0KEN-of-ours }] }
pulls:
  - { name: cam, url: 'rtsp://T0KEN:T0KEN@10.0.0.7:554/T0KEN?x=T0KEN' }
  - { name: far, url: 'rtmp://far.example/live/T0KEN', always: true }
`)
    const exported = exportConfig(config)
    expect(JSON.stringify(exported)).not.toContain('T0KEN')
    expect(exported['pulls']).toMatchObject([
      { name: 'cam', url: 'rtsp://10.0.0.7:554/(hidden)' },
      { name: 'far', url: 'rtmp://far.example/(hidden)', always: true },
    ])
    const again = load(JSON.stringify({ pulls: exported['pulls'] }))
    expect(notesOn(again).join()).toContain('pulls.1.url: (hidden)')
  })

  it('is exported so that it can be read again, without its secrets', () => {
    const config = load(EXAMPLE)
    const { data, origins, ...exported } = JSON.parse(JSON.stringify(exportConfig(config)))
    expect(JSON.stringify(origins)).not.toContain('"secret"')
    const again = load(JSON.stringify({ data, origins, ...exported }))
    expect(notesOn(again)).toContain(
      'origins.app.headers.x-origin-auth: (hidden) is what the export wrote for a secret; put it back',
    )
    expect(notesOn(config).join()).not.toContain('(hidden)')
    expect(again.distributions).toEqual(config.distributions)
    expect(again.origins['apps']).toEqual(config.origins['apps'])
    expect(again.live).toEqual(config.live)
  })
})

describe('a mistake is one line with where, key, value and cure', () => {
  it.each([
    ['http: { prot: 1 }', 'nearcast.yaml: http.prot: unknown key; did you mean http.port?'],
    ['htpp: {}', 'nearcast.yaml: htpp: unknown key; did you mean http?'],
    ['http: { port: 99999 }', 'nearcast.yaml: http.port: 99999 is not a port (0 to 65535)'],
    ['http: { port: 80x }', 'nearcast.yaml: http.port: "80x" is not a port (0 to 65535)'],
    ['http: 80', 'nearcast.yaml: http: a number is not a group of host, port, workers'],
    ['[1]', 'nearcast.yaml: must hold keys and values'],
    [
      'http:\n  port: 80\n bad: 1',
      'nearcast.yaml: line 3, column 1: All mapping items must start at the same column',
    ],
    ['http: {}\nhttp: {}', 'nearcast.yaml: line 2, column 1: Map keys must be unique'],
    [
      'cache: { memoryBytes: 1MiB }',
      'nearcast.yaml: cache.memoryBytes: "1MiB" is not a size from 8MiB to 1TiB',
    ],
    [
      'live: { dvrSeconds: soon }',
      'nearcast.yaml: live.dvrSeconds: "soon" is not a duration from 0s to 7d',
    ],
    ['https: { port: 1, cert: a }', 'nearcast.yaml: https.key: is missing; it must be a file'],
    [
      'origins: { live: { kind: file, root: a } }',
      'nearcast.yaml: origins.live: is the name of a built-in origin; choose another',
    ],
    [
      'origins: { a: { kind: ftp } }',
      'nearcast.yaml: origins.a.kind: "ftp" is not one of s3, file, http, group',
    ],
    [
      'origins: { g: { kind: group, members: [sit] } }',
      'nearcast.yaml: origins.g.members[0]: no origin has the name "sit"; did you mean "site"?',
    ],
    [
      'origins: { g: { kind: group, members: [g] } }',
      'nearcast.yaml: origins.g.members[0]: "g" is a group; a group has no groups in it',
    ],
    [
      'vod: { origin: medai }',
      'nearcast.yaml: vod.origin: no origin has the name "medai"; did you mean "media"?',
    ],
    [
      'live: { record: vod }',
      'nearcast.yaml: live.record: no origin has the name "vod"; there are: site, media',
    ],
    [
      'distributions: [{ id: a, behaviors: [{ path: "*", origin: pagse }] }]',
      'nearcast.yaml: distributions[0].behaviors[0].origin: no origin has the name "pagse"; did you mean "pages"?',
    ],
    [
      'edges: [{ id: a, url: http://a }, { id: a, url: http://b }]',
      'nearcast.yaml: edges[1].id: "a" is there twice; each needs its own',
    ],
    [
      'srt: { streams: [{ name: a, port: 9000 }, { name: b, port: 9000 }] }',
      'nearcast.yaml: srt.streams[1].port: 9000 is there twice; each needs its own',
    ],
    [
      'srt: { streams: [{ name: a, port: 0 }] }',
      'nearcast.yaml: srt.streams[0].port: 0 is no port that a caller could name',
    ],
    [
      "pulls: [{ name: a, url: 'rtmp://a.test/x' }, { name: a, url: 'rtmp://b.test/x' }]",
      'nearcast.yaml: pulls[1].name: "a" is there twice; each needs its own',
    ],
    [
      'role: edge',
      'nearcast.yaml: parent: is missing; role edge needs the address of its origin (NEARCAST_PARENT) and its token (NEARCAST_PARENT_TOKEN)',
    ],
  ])('in the file: %s', (yaml, expected) => {
    expect(complaint(yaml)).toBe(expected)
  })

  it.each([
    [
      { NEARCAST_HTTP_PRT: '1' },
      'NEARCAST_HTTP_PRT: unknown variable; did you mean NEARCAST_HTTP_PORT?',
    ],
    [{ NEARCAST_HTTP_PORT: '70000' }, 'NEARCAST_HTTP_PORT: 70000 is not a port (0 to 65535)'],
    [{ NEARCAST_ROLE: 'eddge' }, 'NEARCAST_ROLE: "eddge" is not one of all, origin, edge, control'],
    [{ NEARCAST_MEDIA: 's3://' }, 'NEARCAST_MEDIA: "s3://" is not a folder or s3://bucket/prefix'],
    [{ NEARCAST_CONFIG: 'no.yaml' }, 'no.yaml: there is no such file'],
    [
      { NEARCAST_PARENT: 'http://a' },
      'nearcast.yaml: parent.token: is missing; it must be a token of at least 8 characters (or set NEARCAST_PARENT_TOKEN)',
    ],
  ])('in the environment: %o', (env, expected) => {
    expect(complaint('', { env })).toBe(expected)
  })

  it.each([
    [['--rol', 'edge'], '--rol: unknown flag; did you mean --role?'],
    [['--role'], '--role: needs a value behind it'],
    [['--role', '--demo'], '--role: needs a value behind it'],
    [['--role', 'x'], '--role: "x" is not one of all, origin, edge, control'],
    [['--demo=perhaps'], '--demo: "perhaps" is not true or false'],
    [['--config', 'no.yaml'], 'no.yaml: there is no such file'],
    [['now'], '"now": unexpected argument; flags are --role, --data, --demo, --workers, --config'],
  ])('in the flags: %o', (argv, expected) => {
    expect(complaint('', { argv })).toBe(expected)
  })

  it.each([
    ['rtmp://127.0.0.1:1935/live/cam', {}],
    ['rtmp://localhost/live/cam', {}],
    ['rtmp://[::1]/live/other', {}],
    ['rtmps://127.0.0.1:1936/live/cam', {}],
    ['http://0.0.0.0:8080/live/cam/index.m3u8', {}],
    ['rtmp://127.0.0.1:5000/live/cam', { NEARCAST_RTMP_PORT: '5000' }],
  ])('a pull of the server itself is one: %s', (url, env) => {
    const yaml = `rtmps: { port: 1936, cert: a.pem, key: a.key }
pulls: [{ name: far, url: 'rtmp://far.example/live/x' }, { name: cam, url: '${url}' }]`
    expect(complaint(yaml, { env })).toBe(
      'nearcast.yaml: pulls[1].url: is this server itself; a stream comes from another one, or from another port of this machine',
    )
  })

  it.each([
    ['rtmp://127.0.0.1:1936/live/cam', {}],
    ['rtmp://192.0.2.7:1935/live/cam', {}],
    ['rtmp://cam.example:1935/live/cam', {}],
    ['rtmp://127.0.0.1:1935/live/cam', { NEARCAST_RTMP_PORT: '5000' }],
    // Another process serves viewers there.
    ['http://127.0.0.1:8080/live/cam/index.m3u8', { NEARCAST_ROLE: 'origin' }],
  ])('a pull of another server is none: %s', (url, env) => {
    expect(complaint(`pulls: [{ name: cam, url: '${url}' }]`, { env })).toBe('nothing')
  })

  it('each mistake has its own line', () => {
    expect(complaint('http: { port: -1 }\nrtmp: { prt: 5 }').split('\n')).toEqual([
      'nearcast.yaml: http.port: -1 is not a port (0 to 65535)',
      'nearcast.yaml: rtmp.prt: unknown key; did you mean rtmp.port?',
    ])
  })

  it('never repeats a secret', () => {
    const cases: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
      ['', { NEARCAST_PARENT: 'http://a', NEARCAST_PARENT_TOKEN: 'geheim' }],
      ['', { NEARCAST_REDIS_URL: 'http://:geheim@a' }],
      ['parent: geheim', {}],
      // The API shows endpoints, and the AWS SDK takes its credentials elsewhere.
      ['', { NEARCAST_S3_ENDPOINT: 'http://u:geheim@s3:9000' }],
      ['s3: { endpoint: "http://geheim@s3" }', {}],
      ['origins: { a: { kind: http, url: "http://a", headers: { b: "geheim\\n" } } }', {}],
      ['origins: { a: { kind: http, url: "http://u:geheim@a" } }', {}],
    ]
    for (const [yaml, env] of cases) {
      expect(complaint(yaml, { env })).not.toBe('nothing')
      expect(complaint(yaml, { env })).not.toContain('geheim')
    }
  })
})

describe('what is made from the schema', () => {
  it('docs/CONFIGURATION.md is up to date (npm run docs makes it)', () => {
    expect(readFileSync('docs/CONFIGURATION.md', 'utf8')).toBe(configurationPage())
  })

  it('the JSON Schema knows every option and no word that is not JSON Schema', () => {
    const schema = JSON.stringify(configurationSchema())
    for (const option of ['partSeconds', 'defaultRootObject', 'failOn'])
      expect(schema).toContain(`"${option}"`)
    for (const fact of ['"expected":"', '"env":"', '"secret":true'])
      expect(schema).not.toContain(fact)
  })
})
