import { expect, it } from 'vitest'
import { LoadMemory } from '../../server/vod/load-memory.ts'
import { FakeClock } from '../support/fake-clock.ts'

const NEVER = new AbortController().signal
const nothing = () => {}

function memoryOf(bytes: number) {
  const clock = new FakeClock()
  return { clock, memory: new LoadMemory(clock, bytes) }
}

it('films that have no room beside the others wait, in the order they came', async () => {
  const { memory } = memoryOf(100)
  const [first, second, third] = [memory.share(NEVER), memory.share(NEVER), memory.share(NEVER)]
  await first.grow(60, nothing)
  const order: string[] = []
  const large = second.grow(80, nothing).then(() => order.push('large'))
  const small = third.grow(10, nothing).then(() => order.push('small'))
  await Promise.resolve()
  expect(order).toEqual([])
  expect(memory.used).toBe(60)
  first[Symbol.dispose]()
  await Promise.all([large, small])
  expect(order).toEqual(['large', 'small'])
  expect(memory.used).toBe(90)
})

it('a film that waits for more holds nothing meanwhile, so that two never wait for each other', async () => {
  const { memory } = memoryOf(100)
  const [first, second] = [memory.share(NEVER), memory.share(NEVER)]
  await first.grow(50, nothing)
  await second.grow(50, nothing)
  const dropped: string[] = []
  const grownFirst = first.grow(80, () => dropped.push('first'))
  const grownSecond = second.grow(80, () => dropped.push('second'))
  expect(dropped).toEqual(['first', 'second'])
  await grownFirst
  first[Symbol.dispose]()
  await grownSecond
  expect(memory.used).toBe(80)
})

it('after ten seconds without room, and at once for what never has any, it is unavailable', async () => {
  const { clock, memory } = memoryOf(100)
  const [first, second] = [memory.share(NEVER), memory.share(NEVER)]
  await first.grow(100, nothing)
  const grown = second.grow(1, nothing)
  const refused = expect(grown).rejects.toMatchObject({ code: 'unavailable', status: 503 })
  await clock.advance(10_000)
  await refused
  await expect(second.grow(101, nothing)).rejects.toMatchObject({ code: 'unavailable' })
  expect(() => second.add(1)).toThrow(/^unavailable/)
  first[Symbol.dispose]()
  expect(memory.used).toBe(0)
})

it('whoever leaves while it waits makes room for the next', async () => {
  const { memory } = memoryOf(100)
  const leaving = new AbortController()
  const first = memory.share(NEVER)
  await first.grow(60, nothing)
  const large = memory.share(leaving.signal).grow(100, nothing)
  const small = memory.share(NEVER).grow(40, nothing)
  const left = expect(large).rejects.toThrow('gone')
  leaving.abort(new Error('gone'))
  await left
  await small
  expect(memory.used).toBe(100)
})
