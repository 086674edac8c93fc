import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { escapeHtml } from '../../server/pages/escape-html.ts'
import { readPageAddress, titleOf } from '../../server/pages/page-address.ts'
import { readPlayerOptions } from '../../server/pages/player-options.ts'
import { writeEmbedPage, writeWatchPage } from '../../server/pages/write-page.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const MARKS = ['"', "'", '<', '>', '&', '`', '/', '=', '%', '\\', ' ', ';', '#', '?', '{', '$']
const runs = { numRuns: FUZZ_RUNS }
const nasty = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1 }),
  fc.string({ unit: fc.constantFrom(...MARKS), minLength: 1 }),
  fc.constantFrom('"><script>alert(1)</script>', "' onload='x", '</title><script>', 'javascript:x'),
)

describe('page addresses', () => {
  it('keep the slashes of a key and encode its segments anew', () => {
    const address = readPageAddress('/watch/vod/a%20b/film%3F.mp4')
    expect(address).toEqual({
      view: 'watch',
      target: { kind: 'vod', key: 'a b/film?.mp4', src: '/vod/a%20b/film%3F.mp4/index.m3u8' },
    })
    expect(address && titleOf(address.target)).toBe('film?')
  })
  it.each([
    '/watch/live/a/b',
    '/watch/vod/',
    '/watch/vod/a//b',
    '/watch/vod/%2e%2e/x',
    '/watch/vod/a%2fb',
    '/watch/vod/a%5cb',
    '/watch/vod/%00',
    '/watch/vod/%ff',
    '/watch/other/a',
    `/watch/vod/${'a'.repeat(1025)}`,
    '/',
  ])('are refused: %s', (path) => {
    expect(readPageAddress(path)).toBeUndefined()
  })
  it('never lead out of /live and /vod, whatever is asked', () => {
    fc.assert(
      fc.property(fc.array(nasty), fc.boolean(), (parts, encoded) => {
        const rest = parts.map((part) => (encoded ? encodeURIComponent(part) : part))
        const target = readPageAddress(`/watch/vod/${rest.join('/')}`)?.target
        if (!target) return
        const url = new URL(target.src, 'http://here')
        expect(url.origin).toBe('http://here')
        expect(url.pathname).toBe(target.src)
        expect(url.pathname).toMatch(/^\/vod\/.+\/index\.m3u8$/)
      }),
      runs,
    )
  })
})

describe('pages', () => {
  it('hold no markup but their own, whatever name and options they are given', () => {
    const shape = (key: string, query: string) => {
      const target = {
        kind: 'vod',
        key,
        src: `/vod/${encodeURIComponent(key)}/index.m3u8`,
      } as const
      const options = readPlayerOptions(query, 'yes')
      const input = { target, options, base: 'http://here', preload: [] }
      const page = writeWatchPage(input) + writeEmbedPage(input)
      return page.replaceAll(/(?<=")[^"<>]*(?=")/g, '').replaceAll(/(?<=>)[^<>]*(?=<)/g, '')
    }
    const plain = shape('film', '')
    fc.assert(
      fc.property(nasty, nasty, (key, query) => {
        expect(shape(key, `utm=${query}`)).toBe(plain)
      }),
      runs,
    )
  })
  it('take no option that is not one', () => {
    fc.assert(
      fc.property(nasty, nasty, (start, accent) => {
        const query = new URLSearchParams({ t: start, accent }).toString()
        const options = readPlayerOptions(query, 'no')
        expect(options.start ?? '').toMatch(/^[0-9hms.]*$/)
        expect(options.accent ?? '#fff').toMatch(/^#[0-9a-f]{3,6}$/i)
      }),
      runs,
    )
  })
  it('escape text so that it can be read back and holds nothing active', () => {
    expect(escapeHtml(`<a href="x" b='y'>&\``)).toBe(
      '&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;&#96;',
    )
  })
})
