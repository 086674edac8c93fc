import { expect, it } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { openMemoryStore } from '../../server/storage/memory.ts'
import { objectStoreContract } from './object-store.contract.ts'

objectStoreContract('memory', async () => {
  const store = openMemoryStore({ clock: systemClock })
  return { store, keepsContentType: true, close: () => store.close() }
})

it('refuses a cursor that no listing gave', async () => {
  const { signal } = new AbortController()
  const listed = openMemoryStore({ clock: systemClock }).list('', { signal, cursor: '%%' })
  await expect(listed).rejects.toMatchObject({ code: 'bad-request' })
})
