import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compilePattern, findBehavior, findDistribution } from '../../server/distribution/match.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'
import { behavior, web } from './samples.ts'

describe('path patterns', () => {
  it.each([
    ['/live/*', '/live/a/index.m3u8', true],
    ['/live/*', '/live/', true],
    ['/live/*', '/live', false],
    ['live/*', '/live/a', true],
    ['*.php', '/a/b.php', true],
    ['*.php', '/a/b.PHP', false],
    ['/*.php', '/a.php', true],
    ['/a?c', '/abc', true],
    ['/a?c', '/ac', false],
    ['/a?c', '/a/c', true],
    ['/img/*/thumb-??.jpg', '/img/a/b/thumb-01.jpg', true],
    ['/img/*/thumb-??.jpg', '/img/a/thumb-1.jpg', false],
    ['/a*b*c', '/abxbc', true],
    ['/a*b*c', '/acb', false],
    ['*', '/', true],
    ['/oembed', '/oembed', true],
    ['/oembed', '/oembed/', false],
    ['/a.c', '/abc', false],
    ['/a*?', '/a', false],
    ['/a*?', '/ab', true],
    ['index.html', '/index.html', true],
    ['/%7euser/*', '/~user/a', true],
    ['/caf%c3%a9/*', '/caf%C3%A9/a', true],
    ['/café/*', '/caf%C3%A9/a', true],
    ['*.j%70g', '/a.jpg', true],
    ['/a%2a', '/a%2A', true],
    ['/a%2a', '/ab', false],
  ])('%s on %s: %s', (pattern, path, expected) => {
    expect(compilePattern(pattern)(path)).toBe(expected)
  })

  it('agree with a regular expression of the same meaning', () => {
    const text = fc.array(fc.constantFrom('a', 'b', '/', '.', '*', '?'), { maxLength: 8 })
    fc.assert(
      fc.property(text, text, (pattern, path) => {
        const glob = `/${pattern.join('')}`
        const regex = glob.replaceAll('.', '\\.').replaceAll('?', '[^]').replaceAll('*', '[^]*')
        const target = `/${path.join('')}`
        expect(compilePattern(glob)(target)).toBe(new RegExp(`^${regex}$`).test(target))
      }),
      { numRuns: FUZZ_RUNS * 5 },
    )
  })

  it('take steps in proportion to pattern and path, however they are made', () => {
    const matches = compilePattern(`/${'*a'.repeat(120)}*b`)
    const started = performance.now()
    expect(matches(`/${'a'.repeat(8000)}`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(200)
  })
})

describe('a Host field', () => {
  const all = [
    web({ id: 'any', hosts: ['*'] }),
    web({ id: 'wild', hosts: ['*.example.com'] }),
    web({ id: 'deep', hosts: ['*.cdn.example.com'] }),
    web({ id: 'exact', hosts: ['WWW.example.com', '2001:db8::1'] }),
    web({ id: 'off', hosts: ['off.example.com'], enabled: false }),
  ]
  it.each([
    ['www.example.com', 'exact'],
    ['WWW.EXAMPLE.COM:8080', 'exact'],
    ['www.example.com.', 'exact'],
    ['a.example.com', 'wild'],
    ['a.b.example.com', 'wild'],
    ['a.cdn.example.com', 'deep'],
    ['example.com', 'any'],
    ['.example.com', 'any'],
    ['notexample.com', 'any'],
    ['[2001:DB8::1]:443', 'exact'],
    ['2001:db8::1', 'exact'],
    ['[::1', 'any'],
    ['', 'any'],
    [undefined, 'any'],
    ['off.example.com', undefined],
  ])('%s belongs to %s', (host, id) => {
    expect(findDistribution(all, host)?.id).toBe(id)
  })

  it('of any length is looked up in no time', () => {
    const started = performance.now()
    for (let i = 0; i < 20; i++) expect(findDistribution(all, '.'.repeat(16_000))?.id).toBe('any')
    expect(performance.now() - started).toBeLessThan(200)
  })

  it('finds nothing where nothing is for any name', () => {
    expect(findDistribution([web({ id: 'a', hosts: ['a.test'] })], 'b.test')).toBeUndefined()
    expect(findDistribution([], 'b.test')).toBeUndefined()
  })

  it('prefers the enabled one of two with the same name', () => {
    const both = [
      web({ id: 'old', hosts: ['a.test'], enabled: false }),
      web({ id: 'new', hosts: ['a.test'] }),
    ]
    expect(findDistribution(both, 'a.test')?.id).toBe('new')
  })
})

it('the first matching behavior answers', () => {
  const distribution = web({
    behaviors: [
      behavior({ path: '/live/*', origin: 'live' }),
      behavior({ path: '*.m3u8', origin: 'other' }),
    ],
  })
  expect(findBehavior(distribution, '/live/a.m3u8')?.origin).toBe('live')
  expect(findBehavior(distribution, '/a.m3u8')?.origin).toBe('other')
  expect(findBehavior(distribution, '/a')).toBeUndefined()
})
