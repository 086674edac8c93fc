import { expect, it } from 'vitest'
import { Places } from '../../server/edge/places.ts'

it('lets so many begin, and the next when one has ended, in the order they came', () => {
  const places = new Places(1)
  const begun: string[] = []
  const first = places.take(() => begun.push('first'))
  places.take(() => begun.push('second'))
  places.take(() => begun.push('third'))
  expect(begun).toEqual(['first'])
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  expect(begun).toEqual(['first', 'second'])
})

it('forgets who gives up while waiting', () => {
  const places = new Places(1)
  const begun: string[] = []
  const first = places.take(() => begun.push('first'))
  const second = places.take(() => begun.push('second'))
  second[Symbol.dispose]()
  expect(places.waiting).toBe(0)
  first[Symbol.dispose]()
  places.take(() => begun.push('third'))
  expect(begun).toEqual(['first', 'third'])
})

it('gives a place back that ends while it begins', () => {
  const places = new Places(1)
  places.take((place) => place[Symbol.dispose]())
  const begun: string[] = []
  places.take(() => begun.push('next'))
  expect(begun).toEqual(['next'])
})
