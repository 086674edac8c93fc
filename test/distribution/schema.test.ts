import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { validateDistribution, validateOrigin } from '../../server/distribution/schema.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const DEFAULTS = { region: 'us-east-1', endpoint: undefined }
const web = (behavior: object, more: object = {}) => ({
  id: 'a',
  behaviors: [{ path: '*', origin: 'site', ...behavior }],
  ...more,
})
const problems = (value: unknown) => {
  const result = validateDistribution(value)
  return result.kind === 'invalid' ? result.problems : []
}

describe('a distribution', () => {
  it('gets all its defaults', () => {
    expect(validateDistribution(web({}))).toEqual({
      kind: 'valid',
      value: {
        kind: 'web',
        id: 'a',
        enabled: true,
        hosts: ['*'],
        defaultRootObject: '',
        behaviors: [
          {
            path: '*',
            origin: 'site',
            methods: 'get',
            ttl: { min: 0, default: 86_400, max: 31_536_000 },
            key: { query: 'none', queryOrder: 'kept', headers: 'none', cookies: 'none' },
            compress: false,
            strip: '',
            errors: {},
            semantics: 'cloudfront',
          },
        ],
      },
    })
  })

  it('may stream stored media over RTMP', () => {
    const films = { id: 'films', kind: 'rtmp', origin: 'media' }
    expect(validateDistribution(films)).toMatchObject({
      kind: 'valid',
      value: { apps: ['vod', 'cfx/st'], signers: [], hosts: ['*'] },
    })
  })

  it.each([
    [{ max: 60 }, { min: 0, default: 60, max: 60 }],
    [{ max: 0 }, { min: 0, default: 0, max: 0 }],
    [{ min: '2d' }, { min: 172_800, default: 172_800, max: 31_536_000 }],
    [{ default: '1h' }, { min: 0, default: 3600, max: 31_536_000 }],
  ])('keeps a default ttl it was not given between the others: %o', (ttl, expected) => {
    expect(validateDistribution(web({ ttl }))).toMatchObject({
      value: { behaviors: [{ ttl: expected }] },
    })
  })

  it('takes host names, wildcards and addresses', () => {
    const hosts = [
      '*',
      '*.example.com',
      'a-b.example.com',
      'localhost',
      '10.0.0.1',
      '::1',
      '[2001:db8::1]',
    ]
    expect(validateDistribution(web({}, { hosts })).kind).toBe('valid')
  })

  it.each([
    [{}, 'id: is missing; it must be a name of letters, digits, - and _ (at most 64)'],
    [[], 'value: a list is not a distribution'],
    [web({}, { kind: 'ftp' }), 'kind: "ftp" is not one of web, rtmp'],
    [web({}, { hsots: [] }), 'hsots: unknown key; did you mean hosts?'],
    [web({}, { hosts: ['a:80'] }), 'hosts[0]: "a:80" is not a host name, *.name or *'],
    [
      web({ path: 'a b' }),
      'behaviors[0].path: "a b" is not a path pattern of at most 255 characters',
    ],
    [web({ orgin: 1 }), 'behaviors[0].orgin: unknown key; did you mean behaviors[0].origin?'],
    [
      web({ ttl: { min: 9, default: 1 } }),
      'behaviors[0].ttl: min 9, default 1, max 31536000: must not fall',
    ],
    [web({ ttl: { min: 'x' } }), 'behaviors[0].ttl.min: "x" is not a duration from 0s to 365d'],
    [
      web({ key: { query: 'some' } }),
      'behaviors[0].key.query: "some" is not none, all or a list of names',
    ],
    [
      web({ errors: { 200: {} } }),
      'behaviors[0].errors.200: the key is not a status from 400 to 599',
    ],
    [
      web({ errors: { 404: { page: 'a' } } }),
      'behaviors[0].errors.404.page: "a" is not an absolute path',
    ],
    [
      web({ strip: '/a/' }),
      'behaviors[0].strip: "/a/" is not an absolute path without a slash at its end',
    ],
    [web({ methods: true }), 'behaviors[0].methods: true is not one of get, get-options, all'],
  ])('%j is refused: %s', (value, problem) => {
    expect(problems(value)).toContain(problem)
  })

  it('whatever it is, is valid or refused with sentences', () => {
    const key = fc.constantFrom(
      'id',
      'kind',
      'behaviors',
      'path',
      'origin',
      'ttl',
      'min',
      'errors',
      '404',
      'hosts',
      'key',
      '__proto__',
      'toString',
    )
    const { value } = fc.letrec((tie) => ({
      leaf: fc.oneof(
        fc.constantFrom('web', 'rtmp', '*', 'all', 0, 5, -1, null, true),
        fc.string(),
        fc.double(),
      ),
      group: fc.array(fc.tuple(key, tie('value')), { maxLength: 6 }).map((pairs) => {
        const made: Record<string, unknown> = {}
        for (const [name, member] of pairs)
          Object.defineProperty(made, name, {
            value: member,
            enumerable: true,
            configurable: true,
            writable: true,
          })
        return made
      }),
      value: fc.oneof(
        { maxDepth: 4 },
        tie('leaf'),
        tie('group'),
        fc.array(tie('value'), { maxLength: 3 }),
      ),
    }))
    fc.assert(
      fc.property(value, (one) => {
        for (const result of [validateDistribution(one), validateOrigin(one, DEFAULTS)])
          if (result.kind === 'invalid') {
            expect(result.problems.length).toBeGreaterThan(0)
            for (const problem of result.problems) expect(problem).toMatch(/^[^\n]+: [^\n]+$/)
          }
      }),
      { numRuns: FUZZ_RUNS },
    )
  })
})

describe('an origin', () => {
  it('in S3 takes region and endpoint from the process', () => {
    const options = { kind: 's3', bucket: 'films' }
    expect(validateOrigin(options, DEFAULTS)).toEqual({
      kind: 'valid',
      value: {
        kind: 's3',
        bucket: 'films',
        prefix: '',
        region: 'us-east-1',
        endpoint: undefined,
        pathStyle: false,
      },
    })
    const endpoint = 'http://127.0.0.1:9000'
    expect(validateOrigin(options, { ...DEFAULTS, endpoint })).toMatchObject({
      value: { endpoint, pathStyle: true },
    })
  })

  it('on the web has timeouts in milliseconds', () => {
    const options = { kind: 'http', url: 'http://10.0.0.5:3000', timeouts: { connect: '500ms' } }
    expect(validateOrigin(options, DEFAULTS)).toMatchObject({
      value: { timeouts: { connectMs: 500, responseMs: 30_000 }, headers: {} },
    })
  })

  it('may be a group', () => {
    const options = { kind: 'group', members: ['a', 'b'], health: { path: '/healthz' } }
    expect(validateOrigin(options, DEFAULTS)).toMatchObject({
      value: {
        balance: 'round-robin',
        failOn: [500, 502, 503, 504],
        health: { path: '/healthz', intervalMs: 10_000 },
      },
    })
  })

  it.each([
    { kind: 'http', url: 'http://10.0.0.5', headers: { 'x-auth': 'geheim\r\nx: y' } },
    { kind: 'http', url: 'http://10.0.0.5', headers: 'geheim' },
    { kind: 'http', url: 'http://user:geheim@10.0.0.5' },
    { kind: 'http', url: 'http://user:ge/heim:geheim@10.0.0.5' },
    { kind: 'http', url: 'user:geheim@10.0.0.5:80' },
    { kind: 'http', url: '//geheim@10.0.0.5' },
    { kind: 's3', bucket: 'films', endpoint: 'http://user:geheim@10.0.0.5' },
  ])('is refused without repeating a secret: %#', (options) => {
    const result = validateOrigin(options, DEFAULTS)
    expect(result.kind).toBe('invalid')
    expect(JSON.stringify(result)).not.toContain('geheim')
  })
})
