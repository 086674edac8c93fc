import { expect, test } from 'vitest'
import { Evictable, Sieve } from '../../server/cache/sieve.ts'

class Item extends Evictable {
  readonly name: string
  kind: 'free' | 'last' | 'never' = 'free'
  constructor(name: string) {
    super()
    this.name = name
  }
  get eviction() {
    return this.kind
  }
  evicted(): void {}
}

function queue(names: string) {
  const sieve = new Sieve()
  const items = new Map(names.split('').map((name) => [name, new Item(name)]))
  for (const item of items.values()) sieve.insert(item, 10)
  const evict = (last = false) => {
    const victim = sieve.victim(last)
    if (victim instanceof Item) {
      sieve.remove(victim)
      return victim.name
    }
    return undefined
  }
  return { sieve, items, evict }
}

test('the oldest that was not asked for again goes first, and a hit spares an entry once', () => {
  const { items, evict } = queue('abcd')
  const [a] = items.values()
  if (a) a.visited = true

  expect([evict(), evict(), evict(), evict(), evict()]).toEqual(['b', 'c', 'd', 'a', undefined])
})

test('bytes and size are those of what is in it', () => {
  const { sieve, items, evict } = queue('abc')
  const [, b] = items.values()
  if (b) sieve.resize(b, 50)
  expect([sieve.bytes, sieve.size]).toEqual([70, 3])
  evict()
  evict()
  expect([sieve.bytes, sieve.size]).toEqual([10, 1])
})

test('what must stay stays, and what a reader is about to need goes only when nothing else is left', () => {
  const { items, evict } = queue('abc')
  const [a, b] = items.values()
  if (a) a.kind = 'never'
  if (b) b.kind = 'last'

  expect([evict(), evict(), evict(true), evict(true)]).toEqual(['c', undefined, 'b', undefined])
})

test('what is asked for again outlives what is asked for once, better than with LRU', () => {
  const sieve = new Sieve()
  const present = new Map<string, Item>()
  const lru = new Map<string, true>()
  const hits = { sieve: 0, lru: 0 }
  const ask = (name: string) => {
    if (lru.delete(name)) hits.lru++
    lru.set(name, true)
    for (const oldest of lru.keys()) {
      if (lru.size <= 100) break
      lru.delete(oldest)
    }
    const item = present.get(name)
    if (item) {
      item.visited = true
      hits.sieve++
      return
    }
    while (sieve.size >= 100) {
      const victim = sieve.victim(true)
      if (!(victim instanceof Item)) break
      sieve.remove(victim)
      present.delete(victim.name)
    }
    const fresh = new Item(name)
    present.set(name, fresh)
    sieve.insert(fresh, 1)
  }

  // 80 names in turn, three one-hit wonders between two of them.
  for (let n = 0; n < 8000; n++) {
    ask(`hot ${n % 80}`)
    if (n % 800 >= 400) for (let k = 0; k < 3; k++) ask(`once ${n} ${k}`)
  }

  expect(hits.sieve).toBeGreaterThan(hits.lru * 1.1)
})
