import { expect, test } from 'vitest'
import { WaitingRoom } from '../../server/live/waiting-room.ts'

test('a change looks once at each thing that is waited for, however many wait for it', async () => {
  const room = new WaitingRoom()
  let looks = 0
  let there = false
  const ready = () => {
    looks++
    return there
  }
  const waits = Array.from(
    { length: 1000 },
    () => new Promise<void>((wake) => room.wait('part 1', ready, wake)),
  )
  const other = room.wait('part 2', () => false, unwoken)
  expect(room).toMatchObject({ size: 1001, groups: 2 })
  looks = 0
  room.wake()
  expect(looks).toBe(1)
  there = true
  room.wake()
  await Promise.all(waits)
  expect(room).toMatchObject({ size: 1, groups: 1 })
  other[Symbol.dispose]()
  expect(room).toMatchObject({ size: 0, groups: 0 })
})

test('who leaves keeps nobody, and what is waited for anew afterwards is another wait', () => {
  const room = new WaitingRoom()
  const woken: string[] = []
  const wait = (who: string) =>
    room.wait(
      'part 1',
      () => false,
      () => woken.push(who),
    )
  const first = wait('first')
  const second = wait('second')
  first[Symbol.dispose]()
  expect(room).toMatchObject({ size: 1, groups: 1 })
  room.release()
  expect(woken).toEqual(['second'])
  second[Symbol.dispose]()
  wait('third')
  second[Symbol.dispose]()
  expect(room).toMatchObject({ size: 1, groups: 1 })
  room.release()
  expect(woken).toEqual(['second', 'third'])
})

test('of thousands who wait for the same, others get their turn between them', async () => {
  const room = new WaitingRoom()
  let there = false
  let woken = 0
  for (let i = 0; i < 1000; i++)
    room.wait(
      'part 1',
      () => there,
      () => woken++,
    )
  there = true
  room.wake()
  expect(room).toMatchObject({ size: 0, groups: 0 })
  await new Promise((resolve) => setImmediate(resolve))
  expect(woken).toBeLessThan(1000)
  while (woken < 1000) await new Promise((resolve) => setImmediate(resolve))
  expect(woken).toBe(1000)
})

function unwoken(): void {
  throw new Error('woken')
}
