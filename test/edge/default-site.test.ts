import { afterEach, expect, test } from 'vitest'
import { defaultDistributions } from '../../server/config/load-config.ts'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import { type EdgeFixture, startEdge } from '../support/edge-fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'

let edge: EdgeFixture
afterEach(() => edge.close())

test('a changed page of the default site is out after a second; an unchanged one costs no read', async () => {
  const memory = openMemoryStore({ clock: new FakeClock() })
  let reads = 0
  const store: typeof memory = {
    ...memory,
    read: (...args) => {
      reads++
      return memory.read(...args)
    },
  }
  const signal = new AbortController().signal
  const put = (text: string) => store.write('style.css', Buffer.from(text), { signal })
  const [distribution] = defaultDistributions()
  const behaviors = distribution?.kind === 'web' ? distribution.behaviors : []
  await put('old')
  edge = await startEdge({ origins: [objectStoreOrigin('site', store)], behaviors })

  expect((await edge.ask('/style.css')).text).toBe('old')
  await edge.clock.advance(1001)
  const revalidated = await edge.ask('/style.css')
  await put('new')
  await edge.clock.advance(1001)

  expect(revalidated).toMatchObject({ status: 200, text: 'old' })
  expect(revalidated.headers['cache-status']).toContain('fwd-status=304')
  expect((await edge.ask('/style.css')).text).toBe('new')
  expect(reads).toBe(2)
})
