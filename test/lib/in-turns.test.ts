import { expect, it } from 'vitest'
import { finish, forEntries, inTurns, type Steps, Turns } from '../../server/lib/in-turns.ts'
import { FakeClock } from '../support/fake-clock.ts'

const NEVER = new AbortController().signal

/** A clock by which each look takes a millisecond. */
function slowClock(): FakeClock {
  const clock = new FakeClock()
  let now = 0
  clock.monotonic = () => {
    now += 1
    return now
  }
  return clock
}

function* count(to: number, done: (step: number) => void): Steps<number> {
  for (let i = 0; i < to; i += 1) {
    done(i)
    yield
  }
  return to
}

it('long work lets the event loop go round every few steps, and gives its result', async () => {
  let rounds = 0
  let steps = 0
  let over = false
  const turn = () => {
    rounds += 1
    if (!over) setImmediate(turn)
  }
  setImmediate(turn)
  const work = inTurns(
    count(1000, () => {
      steps += 1
    }),
    slowClock(),
    NEVER,
  )
  expect(steps).toBeLessThan(10)
  expect(await work).toBe(1000)
  over = true
  expect(rounds).toBeGreaterThan(100)
})

it('several works take turns, one in each round of the event loop', async () => {
  let latest: string[] = []
  const rounds: string[][] = []
  const turn = () => {
    rounds.push(latest)
    latest = []
    if (rounds.length < 40) setImmediate(turn)
  }
  setImmediate(turn)
  const work = (name: string) =>
    inTurns(
      count(50, () => latest.push(name)),
      slowClock(),
      NEVER,
    )
  await Promise.all([work('a'), work('b'), work('c')])
  expect(rounds.slice(1).every((names) => new Set(names).size <= 1)).toBe(true)
  expect(new Set(rounds.slice(1).flat())).toEqual(new Set(['a', 'b', 'c']))
})

it('work that nobody wants any more stops with the reason', async () => {
  const controller = new AbortController()
  let steps = 0
  const work = inTurns(
    count(1000, () => {
      steps += 1
    }),
    slowClock(),
    controller.signal,
  )
  controller.abort(new Error('gone'))
  await expect(work).rejects.toThrow('gone')
  expect(steps).toBeLessThan(20)
})

it('all entries are worked on once, in order', () => {
  const spans: number[] = []
  finish(forEntries(20_000, (from, to) => spans.push(from, to)))
  expect(spans[0]).toBe(0)
  expect(spans.at(-1)).toBe(20_000)
  for (let i = 2; i < spans.length; i += 2) expect(spans[i]).toBe(spans[i - 1])
})

it('works that come one behind the other share their turns, though each alone is short', async () => {
  let rounds = 0
  let over = false
  const turn = () => {
    rounds += 1
    if (!over) setImmediate(turn)
  }
  setImmediate(turn)
  const turns = new Turns(slowClock(), NEVER)
  for (let i = 0; i < 500; i += 1) expect(await turns.run(count(2, () => {}))).toBe(2)
  over = true
  expect(rounds).toBeGreaterThan(100)
})
