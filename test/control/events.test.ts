import { describe, expect, test } from 'vitest'
import { EventFeed } from '../../server/control/event-feed.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { FakeClock } from '../support/fake-clock.ts'

const BEAT_MS = 15_000

function open() {
  const clock = new FakeClock()
  const feed = new EventFeed(clock, systemRandom)
  const stop = new AbortController()
  const follow = (lastId?: string) => feed.follow(lastId, BEAT_MS, stop.signal)
  const tell = (stream: string) => feed.tell({ kind: 'publish', stream })
  return { clock, feed, follow, stop, tell }
}

/** The next so many, ids apart. */
async function take(events: ReturnType<EventFeed['follow']>, count: number): Promise<unknown[]> {
  const taken: unknown[] = []
  while (taken.length < count) {
    const { value, done } = await events.next()
    if (done) break
    taken.push(typeof value === 'string' ? value : value.event.stream)
  }
  return taken
}

describe('a reader of events', () => {
  test('is told what happens from now on', async () => {
    const { follow, tell } = open()
    tell('before')
    const reader = follow()
    const taken = take(reader, 2)
    tell('a')
    tell('b')
    expect(await taken).toEqual(['a', 'b'])
  })

  test('that comes back is told what happened since its last event', async () => {
    const { feed, follow, tell } = open()
    const ids: string[] = []
    using _ = feed.subscribe(({ id }) => ids.push(id))
    for (const stream of ['a', 'b', 'c']) tell(stream)
    expect(await take(follow(ids[0]), 2)).toEqual(['b', 'c'])
  })

  test.each(['other-1', 'x', '', '-', 'other-999999999999999999'])(
    'that comes with the id %j of another process is told that it missed some, then what is kept',
    async (id) => {
      const { follow, tell } = open()
      tell('a')
      expect(await take(follow(id), 2)).toEqual(['missed', 'a'])
    },
  )

  test('that was away for more than is kept is told so', async () => {
    const { feed, follow, tell } = open()
    const ids: string[] = []
    using _ = feed.subscribe(({ id }) => ids.push(id))
    for (let i = 0; i < 1200; i++) tell(`s${i}`)
    expect(await take(follow(ids[0]), 2)).toEqual(['missed', 's200'])
  })

  test('that stops reading and falls behind holds nothing, and is told so later', async () => {
    const { follow, tell } = open()
    const reader = follow()
    const first = take(reader, 1)
    tell('first')
    await first
    for (let i = 0; i < 1500; i++) tell(`s${i}`)
    expect(await take(reader, 2)).toEqual(['missed', 's500'])
  })

  test('hears a heartbeat while nothing happens', async () => {
    const { clock, follow, stop } = open()
    const taken = take(follow(), 2)
    await clock.advance(BEAT_MS)
    await clock.advance(BEAT_MS)
    expect(await taken).toEqual(['beat', 'beat'])
    stop.abort()
  })

  test('that leaves ends, and no timer of it stays', async () => {
    const { clock, follow, stop } = open()
    const taken = take(follow(), 1)
    stop.abort()
    expect(await taken).toEqual([])
    expect(clock.pending).toBe(0)
  })
})
