import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ChangeLog, openChangeLog } from '../../server/control/change-log.ts'
import { followChanges } from '../../server/control/follow-changes.ts'
import type { Change, ChangeBody } from '../../server/distribution/change.ts'
import type { ChangesHeader } from '../../server/distribution/read-change.ts'
import type { Distribution } from '../../server/distribution/types.ts'
import { connectParent, type Parent } from '../../server/edge/connect-parent.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { type OriginFace, startOriginFace } from '../../server/origin/origin-face.ts'
import { FakeClock } from '../support/fake-clock.ts'

const site: Distribution = {
  kind: 'web',
  id: 'default',
  enabled: true,
  hosts: ['*'],
  defaultRootObject: 'index.html',
  behaviors: [],
}
const invalidation = (path: string): ChangeBody => ({
  kind: 'invalidation',
  id: path,
  distribution: '*',
  paths: [path],
})

let log: ChangeLog
let face: OriginFace
let parent: Parent
const stop = new AbortController()

async function openLog(): Promise<ChangeLog> {
  return openChangeLog({
    clock: new FakeClock(),
    random: systemRandom,
    log: silentLog,
    slackLines: 3,
    bounds: { invalidations: 2, pathCharacters: 1000, removals: 10 },
  })
}
function startFace(port: number): Promise<OriginFace> {
  return startOriginFace({
    host: '127.0.0.1',
    port,
    token: 'secret',
    origins: () => [],
    tail: () => undefined,
    changes: (after, signal) => followChanges(log, () => [site], after, signal),
    clock: systemClock,
    log: silentLog,
  })
}
async function next(
  items: AsyncIterator<ChangesHeader | Change>,
): Promise<ChangesHeader | Change | undefined> {
  const { value, done } = await items.next()
  return done ? undefined : value
}

beforeEach(async () => {
  log = await openLog()
  face = await startFace(0)
  parent = connectParent({
    url: `http://127.0.0.1:${face.port}`,
    token: 'secret',
    clock: { ...systemClock, sleep: (_, signal) => systemClock.sleep(5, signal) },
    log: silentLog,
  })
})
afterEach(async () => {
  await parent.close()
  await face.close()
})

describe('an edge that follows its parent', () => {
  it('gets the distributions first, then each change, without secrets', async () => {
    await log.append(invalidation('/a'))
    const items = parent.followChanges(undefined, stop.signal)[Symbol.asyncIterator]()
    const { epoch } = log.position
    const header = { epoch, seq: 1, floor: 0, after: 0, distributions: [site] }
    expect(await next(items)).toEqual(header)
    expect(await next(items)).toMatchObject({ seq: 1, paths: ['/a'] })
    await log.append({ kind: 'stream-key', name: 'main', key: 'very-secret', revoked: false })
    await log.append({
      kind: 'origin',
      id: 'app',
      removed: false,
      options: {
        kind: 'http',
        url: 'http://app',
        headers: { authorization: 'very-secret' },
        timeouts: { connectMs: 1, responseMs: 1 },
      },
    })
    const change = await next(items)
    expect(change).toMatchObject({ seq: 3, kind: 'origin' })
    expect(JSON.stringify(change)).not.toContain('very-secret')
    await items.return?.()
  })

  it('goes on where it was after the parent restarted', async () => {
    await log.append(invalidation('/a'))
    const items = parent.followChanges(undefined, stop.signal)[Symbol.asyncIterator]()
    await next(items)
    await next(items)
    const { port } = face
    await face.close()
    await log.append(invalidation('/b'))
    face = await startFace(port)
    expect(await next(items)).toMatchObject({ seq: 2, after: 1 })
    expect(await next(items)).toMatchObject({ seq: 2, paths: ['/b'] })
    await items.return?.()
  })

  it('starts over when what it knows was folded away, or the log is another', async () => {
    for (const path of ['/1', '/2', '/3', '/4', '/5']) await log.append(invalidation(path))
    await log.append({ kind: 'stream-key', name: 'main', key: 'very-secret', revoked: false })
    expect(log.floor).toBeGreaterThan(0)
    const { epoch } = log.position
    for (const after of [
      { epoch, seq: 1 },
      { epoch: 'another', seq: 5 },
      { epoch, seq: 99 },
    ]) {
      const items = parent.followChanges(after, stop.signal)[Symbol.asyncIterator]()
      expect(await next(items)).toMatchObject({ epoch, seq: 5, floor: log.floor, after: 0 })
      await items.return?.()
    }
  })

  it('ends when the edge closes', async () => {
    const items = parent.followChanges(undefined, stop.signal)[Symbol.asyncIterator]()
    await next(items)
    const ended = next(items)
    await parent.close()
    expect(await ended).toBeUndefined()
  })
})

describe('a parent that talks nonsense', () => {
  let server: Server
  afterEach(() => server.close())

  it.each([
    ['no header', '{"kind":"invalidation"}\n'],
    ['no JSON', 'hello\n'],
    ['half a header', '{"epoch":"a","seq":1,"floor":-1,"after":0,"distributions":[]}\n'],
    [
      'hostile distributions',
      '{"epoch":"a","seq":1,"floor":0,"after":0,"distributions":[{"id":1}]}\n',
    ],
  ])('is asked again and never believed: %s', async (_, text) => {
    let requests = 0
    server = createServer((_request, response) => {
      requests += 1
      response.end(
        requests < 3 ? text : '{"epoch":"ok","seq":0,"floor":0,"after":0,"distributions":[]}\n',
      )
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const other = connectParent({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      token: 'secret',
      clock: { ...systemClock, sleep: async () => {} },
      log: silentLog,
    })
    const items = other.followChanges(undefined, stop.signal)[Symbol.asyncIterator]()
    expect(await next(items)).toMatchObject({ epoch: 'ok' })
    expect(requests).toBe(3)
    await items.return?.()
    await other.close()
  })
})
