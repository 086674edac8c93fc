import { expect, it } from 'vitest'
import { collect } from '../../server/lib/bytes.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { countedStore } from '../../server/storage/counted-store.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import { objectStoreContract } from './object-store.contract.ts'

objectStoreContract('counted', async () => {
  const store = countedStore(openMemoryStore({ clock: systemClock }))
  return { store, keepsContentType: true, close: () => store.close() }
})

async function filled() {
  const store = countedStore(openMemoryStore({ clock: systemClock }))
  const controller = new AbortController()
  const { signal } = controller
  await store.write('a', Buffer.alloc(1_000_000), { signal })
  return { store, controller, signal }
}

async function isIdle(store: { idle(): Promise<void> }): Promise<boolean> {
  const turn = new Promise<false>((resolve) => setImmediate(() => resolve(false)))
  return Promise.race([store.idle().then(() => true), turn])
}

it('is idle when a body was read to its end', async () => {
  const { store, signal } = await filled()
  expect(await isIdle(store)).toBe(true)
  const { body } = await store.read('a', { signal })
  expect(await isIdle(store)).toBe(false)
  await collect(body)
  expect(await isIdle(store)).toBe(true)
})

it('is idle when a body was left, or nobody wants it any more', async () => {
  const { store, signal, controller } = await filled()
  const left = await store.read('a', { signal })
  await left.body[Symbol.asyncIterator]().return?.()
  expect(await isIdle(store)).toBe(true)
  await store.read('a', { signal })
  controller.abort(new Error('gone'))
  expect(await isIdle(store)).toBe(true)
})

it('is idle when there was nothing to read', async () => {
  const { store, signal } = await filled()
  await expect(store.read('b', { signal })).rejects.toMatchObject({ code: 'object-not-found' })
  expect(await isIdle(store)).toBe(true)
})
