import { expect, test } from 'vitest'
import { WaitingRoom } from '../../server/live/waiting-room.ts'

test('a change looks once at each thing that is waited for, however many wait for it', async () => {
  const room = new WaitingRoom()
  let looks = 0
  let there = false
  const waits = Array.from({ length: 1000 }, () =>
    room.wait('part 1', () => {
      looks++
      return there
    }),
  )
  const other = room.wait('part 2', () => false)
  expect(room).toMatchObject({ size: 1001, groups: 2 })
  looks = 0
  room.wake()
  expect(looks).toBe(1)
  there = true
  room.wake()
  await Promise.all(waits.map(({ promise }) => promise))
  expect(room).toMatchObject({ size: 1, groups: 1 })
  other[Symbol.dispose]()
  expect(room).toMatchObject({ size: 0, groups: 0 })
})

test('who leaves keeps nobody, and what is waited for anew afterwards is another wait', async () => {
  const room = new WaitingRoom()
  const first = room.wait('part 1', () => false)
  const second = room.wait('part 1', () => false)
  first[Symbol.dispose]()
  expect(room).toMatchObject({ size: 1, groups: 1 })
  room.release()
  await second.promise
  second[Symbol.dispose]()
  const third = room.wait('part 1', () => false)
  second[Symbol.dispose]()
  expect(room).toMatchObject({ size: 1, groups: 1 })
  room.release()
  await third.promise
})

test('of thousands who wait for the same, others get their turn between them', async () => {
  const room = new WaitingRoom()
  let there = false
  let woken = 0
  const waits = Array.from({ length: 1000 }, () => room.wait('part 1', () => there))
  const all = waits.map(async ({ promise }) => {
    await promise
    woken++
  })
  there = true
  room.wake()
  expect(room).toMatchObject({ size: 0, groups: 0 })
  await new Promise((resolve) => setImmediate(resolve))
  expect(woken).toBeLessThan(1000)
  await Promise.all(all)
  expect(woken).toBe(1000)
})
