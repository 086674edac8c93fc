import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Origin } from '../../server/http/message.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { openOrigins } from '../../server/main-origins.ts'
import { createVodOrigin } from '../../server/vod/origin.ts'
import { startEdge } from '../support/edge-fixture.ts'
import { makeFilm } from '../support/media.ts'

it('a film that is replaced in its folder is the new one for who asks the edge soon after', async () => {
  const root = await mkdtemp(join(tmpdir(), 'nearcast-replaced-'))
  const origins: Origin[] = []
  const edge = await startEdge({ origins, behaviors: [{ path: '/vod/*', origin: 'vod' }] })
  const { cache, clock } = edge
  const deps = { cache, clock, log: silentLog, invalidationSeq: () => 0 }
  const set = openOrigins(deps)
  try {
    set.update({ media: { kind: 'file', root } })
    const store = set.store('media')
    origins.push(createVodOrigin({ store, clock, log: silentLog, metrics: new Metrics() }))
    const versionOf = async () => {
      const { text } = await edge.ask('/vod/film.mp4/index.m3u8')
      return `/vod/film.mp4/${/([0-9a-f]{16})\/main\.m3u8/.exec(text)?.[1] ?? text}`
    }
    await copyFile(await makeFilm({ seconds: 6 }), join(root, 'film.mp4'))
    const old = await versionOf()
    expect((await edge.ask(`${old}/main-0.m4s`)).status).toBe(200)

    await copyFile(await makeFilm({ seconds: 9, gop: 50 }), join(root, 'film.mp4'))
    await clock.advance(3000)
    const young = await versionOf()
    expect(young).not.toBe(old)
    const { text } = await edge.ask(`${young}/main.m3u8`)
    const names = text.match(/^main-\d+\.m4s$/gm) ?? []
    expect(names.length).toBeGreaterThan(2)
    for (const name of ['main.mp4', ...names]) {
      expect((await edge.ask(`${young}/${name}`)).status).toBe(200)
    }
    // What nobody had asked for of the old one is not made of the new one's bytes.
    const gone = await edge.ask(`${old}/main-1.m4s`)
    expect([gone.status, JSON.parse(gone.text)]).toMatchObject([410, { code: 'media-replaced' }])
    // What the edge holds of it is still the old one, whole.
    expect((await edge.ask(`${old}/main-0.m4s`)).status).toBe(200)
  } finally {
    await edge.close()
    await set.close()
    await rm(root, { recursive: true })
  }
})
