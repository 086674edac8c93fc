import { describe, expect, it } from 'vitest'
import { formerCacheStatus, writeCacheStatus } from '../../server/http/cache-status.ts'
import { endToEndFields, fieldLine, listMembers } from '../../server/http/fields.ts'
import { mediaTypeOf } from '../../server/http/media-type.ts'

describe('end-to-end fields (RFC 9110 §7.6.1)', () => {
  it('leaves out hop-by-hop fields and those that Connection lists', () => {
    const headers = {
      connection: ['close', 'X-Hop, te'],
      'x-hop': '1',
      te: 'trailers',
      'keep-alive': 'timeout=5',
      'transfer-encoding': 'chunked',
      upgrade: 'h2c',
      'proxy-authorization': 'secret',
      'x-end': '2',
      'set-cookie': ['a=1', 'b=2'],
    }
    expect(endToEndFields(headers)).toEqual({ 'x-end': '2', 'set-cookie': ['a=1', 'b=2'] })
  })

  it('does not let Connection take away what gives the message its meaning', () => {
    const headers = {
      connection: 'host, cache-control, authorization',
      host: 'a',
      'cache-control': 'private',
    }
    expect(endToEndFields(headers)).toEqual({ host: 'a', 'cache-control': 'private' })
  })
})

describe('lists (RFC 9110 §5.6.1)', () => {
  it('are split at commas outside of quotes', () => {
    expect(listMembers(' a ,, "b,\\",c" ,d')).toEqual(['a', '"b,\\",c"', 'd'])
    expect(listMembers('a, "b, c')).toEqual(['a', '"b, c'])
    expect(listMembers(undefined)).toEqual([])
  })

  it('may come in several lines', () => {
    expect(fieldLine({ vary: ['a', 'b'] }, 'vary')).toBe('a, b')
    expect(fieldLine({}, 'vary')).toBeUndefined()
  })
})

describe('Cache-Status (RFC 9211)', () => {
  it('says hit and the time left', () => {
    expect(writeCacheStatus({ cache: 'nearcast', outcome: { kind: 'hit' }, ttl: 59.9 })).toBe(
      'nearcast; hit; ttl=59',
    )
  })

  it('says why it went on, and what became of it', () => {
    expect(
      writeCacheStatus({
        cache: 'perth 1',
        outcome: { kind: 'forward', reason: 'stale', status: 304, stored: true, collapsed: true },
        ttl: -3,
        detail: 'origin "a"',
        key: 'ü',
      }),
    ).toBe(
      '"perth 1"; fwd=stale; fwd-status=304; stored; collapsed; ttl=-3; key="%C3%BC"; detail="origin \\"a\\""',
    )
  })

  it('says neither for an answer made here', () => {
    const outcome = { kind: 'none' } as const
    expect(writeCacheStatus({ cache: 'nearcast', outcome, detail: 'redirect' })).toBe(
      'nearcast; detail=redirect',
    )
  })
})

describe('media types', () => {
  it.each([
    ['/live/a/index.m3u8', 'application/vnd.apple.mpegurl'],
    ['/live/a/1.m4s', 'video/mp4'],
    ['/a/film.MP4', 'video/mp4'],
    ['/a/1.ts', 'video/mp2t'],
    ['/a/sub.vtt', 'text/vtt; charset=utf-8'],
    ['/a/player.mjs', 'text/javascript; charset=utf-8'],
    ['/index.html', 'text/html; charset=utf-8'],
    ['/a.svg', 'image/svg+xml; charset=utf-8'],
    ['/a.json', 'application/json; charset=utf-8'],
    ['/a.flv', 'video/x-flv'],
    ['/dir.mp4/readme', 'application/octet-stream'],
    ['/a.constructor', 'application/octet-stream'],
    ['/', 'application/octet-stream'],
  ])('%s is %s', (path, expected) => {
    expect(mediaTypeOf(path)).toBe(expected)
  })
})

describe('what caches nearer to the origin said (RFC 9211)', () => {
  it.each([
    'OriginCache; hit; ttl=1100',
    '"CDN Company Here"; hit; ttl=545, Reverse-Proxy; fwd=stale; fwd-status=304; collapsed; stored',
    'a;key=":x:";detail=MEMORY',
  ])('is kept as it came: %s', (line) => {
    expect(formerCacheStatus(line)).toBe(line)
  })

  it.each([
    '',
    ',',
    'a; hit,',
    'a; HIT',
    '1; hit',
    '(a b); hit',
    '?1',
    '"open; hit',
    'a; hit b',
    'é; hit',
    'a; hit\r\nx: y',
    `a; key="${'k'.repeat(2048)}"`,
    Array.from({ length: 17 }, (_, i) => `c${i}; hit`).join(', '),
  ])('is dropped where it is no such list or too long: %j', (line) => {
    expect(formerCacheStatus(line)).toBeUndefined()
  })
})
