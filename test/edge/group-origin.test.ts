import { expect, it } from 'vitest'
import type { GroupOriginOptions } from '../../server/distribution/types.ts'
import { groupOrigin } from '../../server/edge/group-origin.ts'
import {
  field,
  type Origin,
  type OriginRequest,
  type OriginResponse,
} from '../../server/http/message.ts'
import { type ErrorCode, NearcastError } from '../../server/lib/errors.ts'
import { silentLog } from '../../server/lib/log.ts'
import { FakeClock } from '../support/fake-clock.ts'

type Outcome = number | ErrorCode | 'hangs'

interface FakeMember extends Origin {
  outcome: Outcome
  readonly paths: string[]
  /** Answers whose body was left without being read. */
  discarded: number
}

function member(id: string, outcome: Outcome = 200): FakeMember {
  const origin: FakeMember = {
    id,
    outcome,
    paths: [],
    discarded: 0,
    caching: 'shared',
    ranges: false,
    keyQuery: [],
    fetch: async (request) => {
      origin.paths.push(request.path)
      return answerOf(origin, request)
    },
  }
  return origin
}

function answerOf(origin: FakeMember, request: OriginRequest): Promise<OriginResponse> {
  const { outcome } = origin
  if (outcome === 'hangs')
    return new Promise((_, reject) => {
      request.signal.addEventListener('abort', () => reject(request.signal.reason))
    })
  if (typeof outcome === 'string') return Promise.reject(new NearcastError(outcome, origin.id))
  const done = { done: true as const, value: undefined }
  const body = {
    [Symbol.asyncIterator]: () => ({
      next: async () => done,
      return: async () => {
        origin.discarded++
        return done
      },
    }),
  }
  return Promise.resolve({
    kind: 'message',
    status: outcome,
    headers: { 'x-member': origin.id },
    body,
  })
}

const OPTIONS: GroupOriginOptions = {
  kind: 'group',
  members: ['a', 'b'],
  balance: 'first',
  failOn: [500, 503],
  health: undefined,
}

function groupOf(members: readonly Origin[], options: Partial<GroupOriginOptions> = {}) {
  const clock = new FakeClock()
  const group = groupOrigin('apps', members, { ...OPTIONS, ...options }, { clock, log: silentLog })
  const ask = async (more: Partial<OriginRequest> = {}) => {
    const signal = new AbortController().signal
    const request = { method: 'GET', path: '/', query: '', headers: {}, body: null, signal }
    const answer = await group.fetch({ ...request, ...more })
    if (answer.kind !== 'message') throw new Error('expected a message')
    return `${field(answer.headers, 'x-member')} ${answer.status}`
  }
  return { group, clock, ask }
}

it('asks its members in turns', async () => {
  const { ask } = groupOf([member('a'), member('b'), member('c')], { balance: 'round-robin' })
  const answers = [await ask(), await ask(), await ask(), await ask()]
  expect(answers).toEqual(['a 200', 'b 200', 'c 200', 'a 200'])
})

it('asks the first while it works', async () => {
  const { ask } = groupOf([member('a'), member('b')])
  expect([await ask(), await ask()]).toEqual(['a 200', 'a 200'])
})

it.each([
  500,
  503,
  'origin-unreachable',
  'origin-timeout',
  'origin-failed',
  'store-failed',
] as const)('goes on to the next member at %s', async (outcome) => {
  const { ask } = groupOf([member('a', outcome), member('b')])
  expect(await ask()).toBe('b 200')
})

it.each([404, 502, 'object-not-found', 'bad-request'] as const)(
  'takes %s for the answer when it is not in failOn',
  async (outcome) => {
    const second = member('b')
    const { ask } = groupOf([member('a', outcome), second])
    const answer = await ask().catch((error) => error.code)
    expect(answer).toBe(typeof outcome === 'number' ? `a ${outcome}` : outcome)
    expect(second.paths).toEqual([])
  },
)

it('goes on at a missing object when failOn says 404', async () => {
  const { ask } = groupOf([member('a', 'object-not-found'), member('b')], { failOn: [404] })
  expect(await ask()).toBe('b 200')
})

it.each(['POST', 'PUT', 'PATCH', 'DELETE'])('never sends a %s twice', async (method) => {
  const second = member('b')
  const { ask } = groupOf([member('a', 'origin-unreachable'), second])
  await expect(ask({ method })).rejects.toMatchObject({ code: 'origin-unreachable' })
  expect(second.paths).toEqual([])
})

it('gives the last answer when all refuse, and lets go of those before', async () => {
  const [a, b] = [member('a', 500), member('b', 503)]
  const { ask } = groupOf([a, b])
  expect(await ask()).toBe('b 503')
  expect([a.discarded, b.discarded]).toEqual([1, 0])
})

it('gives the answer of one rather than the failure of the other', async () => {
  const { ask } = groupOf([member('a', 503), member('b', 'origin-unreachable')])
  expect(await ask()).toBe('a 503')
})

it('throws when none answers', async () => {
  const { ask } = groupOf([member('a', 'origin-timeout'), member('b', 'origin-unreachable')])
  await expect(ask()).rejects.toMatchObject({ code: 'origin-unreachable' })
})

it('asks nobody else when the viewer has left', async () => {
  const second = member('b')
  const { ask } = groupOf([member('a', 'hangs'), second])
  const controller = new AbortController()
  const asked = ask({ signal: controller.signal })
  controller.abort(new Error('left'))
  await expect(asked).rejects.toThrow('left')
  expect(second.paths).toEqual([])
})

it('asks a member that failed last for a while, and a POST goes to a well one', async () => {
  const a = member('a', 'origin-unreachable')
  const { ask, clock } = groupOf([a, member('b')])
  expect(await ask()).toBe('b 200')
  a.outcome = 200
  expect(await ask({ method: 'POST' })).toBe('b 200')
  await clock.advance(5000)
  expect(await ask()).toBe('a 200')
})

it('takes a member out after two failed checks, and in again after a good one', async () => {
  const a = member('a')
  const health = { path: '/healthz', intervalMs: 10_000 }
  const { ask, clock } = groupOf([a, member('b')], { health })
  a.outcome = 503
  await clock.advance(10_000)
  expect(await ask()).toBe('b 200')
  await clock.advance(10_000)
  const asked = a.paths.length
  expect(await ask()).toBe('b 200')
  expect(a.paths.length).toBe(asked)
  expect(a.paths.filter((path) => path === '/healthz')).toHaveLength(2)
  a.outcome = 200
  await clock.advance(10_000)
  expect(await ask()).toBe('a 200')
})

it('takes a check that hangs for a failed one', async () => {
  const a = member('a', 'hangs')
  const { ask, clock } = groupOf([a, member('b')], {
    health: { path: '/healthz', intervalMs: 10_000 },
  })
  await clock.advance(30_000)
  expect(await ask()).toBe('b 200')
})

it('asks members that are down when there is no other', async () => {
  const members = [member('a', 503), member('b', 503)]
  const { ask, clock } = groupOf(members, { health: { path: '/h', intervalMs: 1000 } })
  await clock.advance(3000)
  for (const one of members) one.outcome = 200
  expect(await ask()).toBe('a 200')
})

it('ends its checks when closed', async () => {
  const a = member('a', 'hangs')
  const { group, clock } = groupOf([a], { health: { path: '/h', intervalMs: 1000 } })
  await clock.advance(1000)
  await group.close()
  await clock.advance(60_000)
  expect(a.paths).toHaveLength(1)
  expect(clock.pending).toBe(0)
})

it('slices only when every member can, and has the query names of all', () => {
  const sliced = { ...member('a'), ranges: true, keyQuery: ['from', 'to'] }
  const other = { ...member('b'), ranges: true, keyQuery: ['from', 'faststart'] }
  expect(groupOf([sliced, other]).group).toMatchObject({
    ranges: true,
    keyQuery: ['from', 'to', 'faststart'],
  })
  expect(groupOf([sliced, member('c')]).group.ranges).toBe(false)
})
