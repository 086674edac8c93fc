import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Fields, OriginMessage } from '../../server/http/message.ts'
import { createPagesOrigin } from '../../server/pages/pages-origin.ts'
import { FakeClock } from '../support/fake-clock.ts'

const playerDir = mkdtempSync(join(tmpdir(), 'nearcast-pages-'))
mkdirSync(join(playerDir, 'player'))
writeFileSync(join(playerDir, 'player.js'), 'player')
writeFileSync(join(playerDir, 'player.js.br'), 'BR')
writeFileSync(join(playerDir, 'player.js.gz'), 'GZ')
writeFileSync(join(playerDir, 'player.js.map'), 'map')
writeFileSync(join(playerDir, 'player/hls.AbCdEf12.js'), 'hls')
afterAll(() => rmSync(playerDir, { recursive: true }))
const pages = createPagesOrigin({ playerDir, clock: new FakeClock(), version: '1.2.3' })

async function get(url: string, headers: Fields = {}, method = 'GET', origin = pages) {
  const [path = '', query = ''] = url.split('?')
  const { signal } = new AbortController()
  const all = { host: 'tv.example:8080', ...headers }
  const answer = await origin.fetch({ method, path, query, headers: all, body: null, signal })
  return { ...(answer as OriginMessage), text: bodyOf(answer as OriginMessage) }
}
function bodyOf({ body }: OriginMessage): string {
  return body instanceof Uint8Array ? Buffer.from(body).toString() : ''
}

describe('the player’s files', () => {
  it('come in the smallest encoding the viewer takes', async () => {
    const sent = async (accepted: string) =>
      (await get('/player.js', { 'accept-encoding': accepted })).text
    expect(await sent('gzip, deflate, br')).toBe('BR')
    expect(await sent('gzip, br;q=0')).toBe('GZ')
    expect(await sent('identity')).toBe('player')
  })
  it('live for ever when their name says so, else for a minute', async () => {
    const cacheControl = async (path: string) => (await get(path)).headers['cache-control']
    expect(await cacheControl('/player/hls.AbCdEf12.js')).toBe(
      'public, max-age=31536000, immutable',
    )
    expect(await cacheControl('/player.js')).toBe('public, max-age=60, must-revalidate')
  })
  it('are 304 for who has them, by encoding', async () => {
    const { headers } = await get('/player.js', { 'accept-encoding': 'br' })
    const etag = `${headers['etag']?.toString()}`
    const again = await get('/player.js', { 'accept-encoding': 'br', 'if-none-match': etag })
    expect(again).toMatchObject({ status: 304, body: null })
    expect(again.headers).not.toHaveProperty('content-length')
    expect((await get('/player.js', { 'if-none-match': etag })).status).toBe(200)
  })
  it('are only what was built for viewers', async () => {
    for (const path of ['/player.js.map', '/player/../package.json', '/player/none.js', '/player/'])
      expect((await get(path)).status).toBe(404)
  })
  it('are 503 where nothing was built', async () => {
    const empty = createPagesOrigin({
      playerDir: '/nonexistent',
      clock: new FakeClock(),
      version: '1',
    })
    expect(await get('/player.js', {}, 'GET', empty)).toMatchObject({ status: 503 })
    expect((await get('/watch/live/a', {}, 'GET', empty)).status).toBe(200)
  })
})

describe('pages', () => {
  it('show a stream or a film by its name, with addresses to copy', async () => {
    const { status, headers, text } = await get('/watch/vod/talks/One%20%26%20two.mp4')
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    expect(text).toContain('<title>One &amp; two</title>')
    expect(text).toContain(
      'src="/vod/talks/One%20%26%20two.mp4/index.m3u8" stream-type="on-demand"',
    )
    expect(text).toContain(
      'value="http://tv.example:8080/vod/talks/One%20%26%20two.mp4/index.m3u8"',
    )
    expect(text).toContain(
      '<link rel="preload" as="script" crossorigin href="/player/hls.AbCdEf12.js">',
    )
    expect(text).toContain(
      '<link rel="preload" as="fetch" crossorigin href="/vod/talks/One%20%26%20two.mp4/index.m3u8">',
    )
  })
  it.each([
    ['recordings/main/20260102T030405Z', 'main, 2026-01-02 03:04 UTC'],
    ['recordings/main/clips/k3v9', 'main, clip k3v9'],
    ['recordings/main/notes.mp4', 'notes'],
  ])('name the stream of a recording, and when it was: %s', async (key, title) => {
    const { text } = await get(`/watch/vod/${key}`)
    expect(text).toContain(`<title>${title}</title>`)
    expect(text).toContain(`title="${title}"`)
  })
  it('allow no script but ours, and only embeds in other pages', async () => {
    const watch = (await get('/watch/live/main')).headers['content-security-policy']
    expect(watch).toContain("script-src 'self';")
    expect(watch).toContain("frame-ancestors 'self'")
    const embed = (await get('/embed/live/main')).headers['content-security-policy']
    expect(embed).toContain("script-src 'self';")
    expect(embed).not.toContain('frame-ancestors')
  })
  it('start a live embed muted, a film when it is asked for, as the address says', async () => {
    const flags = async (url: string) =>
      / title="[^"]*"(.*?)>/.exec((await get(url)).text.split('<nearcast-player')[1] ?? '')?.[1]
    expect(await flags('/embed/live/main')).toBe(' autoplay="muted"')
    expect(await flags('/embed/live/main?autoplay=0')).toBe(' poster="/live/main/poster.jpg"')
    expect(await flags('/embed/vod/a.mp4')).toBe('')
    expect(await flags('/embed/vod/a.mp4?autoplay&loop&muted=1&t=1m30s&accent=00ff88')).toBe(
      ' autoplay="" muted loop start-time="1m30s" accent-color="#00ff88"',
    )
  })
  it('use https when that is what the viewer used, and no host that is not one', async () => {
    expect((await get('/watch/live/a', { 'x-forwarded-proto': 'https' })).text).toContain(
      'https://tv.example:8080/live/a/index.m3u8',
    )
    const { text } = await get('/watch/live/a', { host: 'x"><script>' })
    expect(text).toContain('value="/live/a/index.m3u8"')
    expect(text).not.toContain('x"><script>')
  })
  it('answer HEAD without a body and refuse to be written', async () => {
    expect(await get('/watch/live/a', {}, 'HEAD')).toMatchObject({ status: 200, body: null })
    const post = await get('/watch/live/a', {}, 'POST')
    expect(post).toMatchObject({ status: 405 })
    expect(post.headers['allow']).toBe('GET, HEAD')
  })
  it('tell people in HTML and programs in JSON that there is nothing', async () => {
    const page = await get('/watch/nothing', { accept: 'text/html,*/*' })
    expect(page.status).toBe(404)
    expect(page.text).toContain('There is no page at this address.')
    expect(JSON.parse((await get('/watch/nothing')).text)).toMatchObject({ code: 'not-found' })
  })
})

describe('oEmbed', () => {
  const ask = (url: string, more = '') => get(`/oembed?url=${encodeURIComponent(url)}${more}`)

  it('describes a watch page within the size asked for', async () => {
    const { status, text } = await ask('http://tv.example:8080/watch/live/main', '&maxwidth=640')
    expect(status).toBe(200)
    expect(JSON.parse(text)).toMatchObject({
      version: '1.0',
      type: 'video',
      title: 'main',
      width: 640,
      height: 360,
      html: expect.stringContaining('src="http://tv.example:8080/embed/live/main"'),
    })
    const low = await ask('http://tv.example:8080/embed/vod/a.mp4', '&maxheight=180')
    expect(JSON.parse(low.text)).toMatchObject({ width: 320, height: 180 })
    const small = await ask('http://tv.example:8080/watch/live/main', '&maxwidth=100&maxheight=50')
    expect(JSON.parse(small.text)).toMatchObject({ width: 88, height: 50 })
  })
  it('knows only pages of this host', async () => {
    for (const url of ['http://other.example/watch/live/main', 'javascript:1', '/watch/live/main'])
      expect((await ask(url)).status).toBe(404)
  })
  // oEmbed 1.0 §2.2: url is required.
  it('is 400 without an address, and says what is missing', async () => {
    for (const path of ['/oembed', '/oembed?url=', '/oembed?maxwidth=640']) {
      const { status, text } = await get(path)
      expect([status, JSON.parse(text)]).toEqual([
        400,
        { code: 'bad-request', message: expect.stringContaining('/oembed?url=') },
      ])
    }
  })
  it('is 501 in XML', async () => {
    expect((await ask('http://tv.example:8080/watch/live/main', '&format=xml')).status).toBe(501)
  })
})
