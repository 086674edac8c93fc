import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import { openChangeLog } from '../../server/control/change-log.ts'
import { followChanges } from '../../server/control/follow-changes.ts'
import type { Distribution, OriginOptions } from '../../server/distribution/types.ts'
import { collect } from '../../server/lib/bytes.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { openOrigins } from '../../server/main-origins.ts'
import { openRemoteSources } from '../../server/main-sources.ts'
import { startOriginFace } from '../../server/origin/origin-face.ts'
import { PATIENT } from '../support/patience.ts'

const { signal } = new AbortController()
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-sources-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('the configured origins', () => {
  const open = () =>
    openOrigins({
      cache: new Cache({ memoryBytes: 8 * 1024 * 1024 }),
      clock: systemClock,
      log: silentLog,
      invalidationSeq: () => 0,
    })
  const group: OriginOptions = {
    kind: 'group',
    members: ['app'],
    balance: 'first',
    failOn: [],
    health: undefined,
  }

  it('are read where they are now by who was given their store before', async () => {
    const other = await mkdtemp(join(tmpdir(), 'nearcast-other-'))
    await writeFile(join(folder, 'a'), 'before')
    await writeFile(join(other, 'a'), 'after')
    const origins = open()
    const store = origins.store('media')
    const text = async () => (await collect((await store.read('a', { signal })).body)).toString()
    origins.update({ media: { kind: 'file', root: folder } })
    expect(await text()).toBe('before')
    origins.update({ media: { kind: 'file', root: other } })
    expect(await text()).toBe('after')
    expect(store.description).toBe(other)
    origins.update({})
    await expect(store.stat('a', signal)).rejects.toMatchObject({ code: 'not-found' })
    await origins.close()
    await rm(other, { recursive: true })
  })

  it('go on without a group whose member has gone, until it is back', async () => {
    const origins = open()
    const site: OriginOptions = { kind: 'file', root: folder }
    origins.update({ apps: group, site })
    expect(origins.list().map(({ id }) => id)).toEqual(['site'])
    origins.update({ apps: group, site, app: { kind: 'file', root: folder } })
    expect(origins.get('apps')?.id).toBe('apps')
    await origins.close()
  })
})

describe('an edge', () => {
  const distribution = (id: string): Distribution => ({
    kind: 'web',
    id,
    enabled: true,
    hosts: [`${id}.example`],
    defaultRootObject: '',
    behaviors: [],
  })

  it('takes over what its parent’s configuration file says after a restart, and what was changed on top', async () => {
    const changes = await openChangeLog({
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
    })
    await changes.append({ kind: 'distribution', distribution: distribution('b'), removed: false })
    let configured = [distribution('a')]
    let failures = 0
    const startFace = (port: number) =>
      startOriginFace({
        host: '127.0.0.1',
        port,
        token: 'a-secret-token',
        // A parent that is just coming up may not answer everything yet.
        origins: () => {
          if (failures-- > 0) throw new Error('not yet')
          return []
        },
        tail: () => undefined,
        changes: (after, stop) => followChanges(changes, () => configured, after, stop),
        clock: systemClock,
        log: silentLog,
      })
    const before = await startFace(0)
    const sources = await openRemoteSources(
      { clock: systemClock, log: silentLog, metrics: new Metrics(), version: '0' },
      {
        url: `http://127.0.0.1:${before.port}`,
        token: 'a-secret-token',
        edgeId: 'edge',
      },
    )
    const ids = () => sources.state().distributions.map(({ id }) => id)
    await vi.waitFor(() => expect(ids()).toEqual(['a', 'b']), PATIENT)
    const { epoch } = changes.position
    expect(sources.waysPosition?.()).toBe(`${epoch}:1`)
    await changes.append({ kind: 'invalidation', id: 'i', distribution: '*', paths: ['/a'] })
    await vi.waitFor(() => expect(sources.state().seq).toBe(2), PATIENT)
    expect(sources.waysPosition?.()).toBe(`${epoch}:1`)
    await before.close()
    configured = [distribution('c')]
    failures = 1
    const after = await startFace(before.port)
    await vi.waitFor(() => expect(ids()).toEqual(['c', 'b']), { timeout: 60_000 })
    await changes.append({ kind: 'distribution', distribution: distribution('d'), removed: false })
    await vi.waitFor(() => expect(ids()).toEqual(['c', 'b', 'd']), { timeout: 60_000 })
    expect(sources.waysPosition?.()).toBe(`${epoch}:3`)
    await sources.close()
    await after.close()
  })

  it('calls what rests there old where its parent has forgotten why, before its first viewer comes', async () => {
    const changes = await openChangeLog({
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      slackLines: 2,
      bounds: { invalidations: 2, pathCharacters: 1000, removals: 10 },
    })
    const names = { kind: 'invalidation', distribution: '*' } as const
    for (const id of ['1', '2', '3', '4', '5', '6', '7'])
      await changes.append({ ...names, id, paths: [`/${id}`] })
    await changes.append({ kind: 'stream-key', name: 'main', key: 'a-key', revoked: false })
    const floor = changes.floor ?? 0
    expect(floor).toBeGreaterThan(2)
    const face = await startOriginFace({
      host: '127.0.0.1',
      port: 0,
      token: 'a-secret-token',
      origins: () => [],
      tail: () => undefined,
      changes: (after, stop) => followChanges(changes, () => [], after, stop),
      clock: systemClock,
      log: silentLog,
    })
    const sources = await openRemoteSources(
      { clock: systemClock, log: silentLog, metrics: new Metrics(), version: '0' },
      { url: `http://127.0.0.1:${face.port}`, token: 'a-secret-token', edgeId: 'edge' },
    )
    const stands = (path: string, since: number) =>
      sources.state().invalidations.check({ distribution: 'd', path, tags: [] }, since).kind
    expect(sources.state().seq).toBe(7)
    expect(stands('/1', floor - 1)).toBe('gone')
    expect(stands('/1', floor)).toBe('valid')
    expect(stands('/7', floor)).toBe('gone')
    await sources.close()
    await face.close()
  })
})
