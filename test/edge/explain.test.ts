import { expect, test } from 'vitest'
import { Cache } from '../../server/cache/cache.ts'
import { InvalidationIndex } from '../../server/distribution/invalidation-index.ts'
import type { Behavior } from '../../server/distribution/types.ts'
import { explainUrl } from '../../server/edge/explain.ts'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import { behavior, message, scriptedOrigin } from '../support/edge-fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'

const web = scriptedOrigin('site', () => message(200, {}, null))
const folder = objectStoreOrigin('site', openMemoryStore({ clock: new FakeClock() }))

function explain(
  url: string,
  part: Partial<Behavior>,
  origin = web as typeof folder,
  cache = new Cache({ memoryBytes: 1 << 20 }),
) {
  return explainUrl(
    {
      state: () => ({
        distributions: [
          {
            kind: 'web',
            id: 'default',
            enabled: true,
            hosts: ['*'],
            defaultRootObject: '',
            behaviors: [behavior(part)],
          },
        ],
        invalidations: new InvalidationIndex(),
        position: 'e1:1',
        seq: 1,
      }),
      origins: () => origin,
      cache,
      clock: new FakeClock(),
    },
    url,
  )
}

test('query and cookies that the behavior keeps from the origin are named', async () => {
  expect(await explain('http://a/cart?id=1', {})).toMatchObject({
    methods: 'GET, HEAD; others get 405 (methods is get); all of them with methods: all',
    notSentOn: [
      'query string not sent on (key.query is none)',
      'cookies not sent on (key.cookies is none)',
    ],
  })
  const some = { query: ['id'], queryOrder: 'kept', headers: 'none', cookies: ['sid'] } as const
  expect(await explain('/cart', { key: some })).toMatchObject({
    notSentOn: [
      'query string not sent on, except id (key.query)',
      'cookies not sent on, except sid (key.cookies)',
    ],
  })
})

test('a dynamic behavior, and a folder that takes no query, keep nothing back', async () => {
  const dynamic = { methods: 'all', ttl: { min: 0, default: 0, max: 0 } } as const
  expect(await explain('/cart?id=1', dynamic)).not.toHaveProperty('notSentOn')
  expect(await explain('/cart?id=1', dynamic)).toMatchObject({
    methods: expect.stringContaining('POST'),
  })
  expect(await explain('/a.css', {}, folder)).not.toHaveProperty('notSentOn')
  expect(await explain('/a.css?v=2', {}, folder)).toMatchObject({
    notSentOn: ['query string not sent on (key.query is none)'],
  })
})
