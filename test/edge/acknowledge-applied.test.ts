import { expect, it } from 'vitest'
import { EdgePositions } from '../../server/control/edge-positions.ts'
import { acknowledgeApplied } from '../../server/edge/acknowledge-applied.ts'
import { type Deferred, deferred } from '../../server/lib/deferred.ts'
import { silentLog } from '../../server/lib/log.ts'
import { FakeClock } from '../support/fake-clock.ts'

function start() {
  const clock = new FakeClock()
  const sent: { readonly at: string; readonly answer: Deferred<void> }[] = []
  const left: string[] = []
  const edge = { position: 'e1:1' }
  const telling = acknowledgeApplied({
    clock,
    log: silentLog,
    position: () => edge.position,
    send: (at, leaving) => {
      if (leaving) {
        left.push(at)
        return Promise.resolve()
      }
      const answer = deferred<void>()
      sent.push({ at, answer })
      return answer.promise
    },
  })
  return { clock, sent, edge, telling, left, said: () => sent.map(({ at }) => at) }
}

/** What was answered has been taken. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

it('tells a burst of changes with two messages', async () => {
  const { sent, edge, telling, said } = start()
  for (const seq of [2, 3, 4]) {
    edge.position = `e1:${seq}`
    telling.changed()
  }
  expect(said()).toEqual(['e1:2'])
  sent[0]?.answer.resolve()
  await expect.poll(said).toEqual(['e1:2', 'e1:4'])
  await telling.close()
})

it('says it again after a failure and each 15 s, and not once it is closed', async () => {
  const { clock, sent, telling, said, left } = start()
  telling.changed()
  sent[0]?.answer.reject(new Error('parent lost'))
  await settled()
  await clock.advance(15_000)
  expect(said()).toEqual(['e1:1', 'e1:1'])
  sent[1]?.answer.resolve()
  await settled()
  await clock.advance(15_000)
  expect(said()).toHaveLength(3)
  await telling.close()
  await clock.advance(60_000)
  expect(said()).toHaveLength(3)
  expect(left).toEqual(['e1:1'])
})

it('remembers an edge for a minute or until it leaves, its last process, and no other log', async () => {
  const clock = new FakeClock()
  const positions = new EdgePositions(clock)
  positions.take({ edge: 'perth', process: 'a', epoch: 'e1', seq: 7 }, false)
  await clock.advance(30_000)
  positions.take({ edge: 'perth', process: 'b', epoch: 'e1', seq: 9 }, false)
  expect([...positions.of('e1')]).toEqual([['perth', 7]])
  expect(positions.of('e2').size).toBe(0)
  await clock.advance(31_000)
  expect([...positions.of('e1')]).toEqual([['perth', 9]])
  positions.take({ edge: 'perth', process: 'b', epoch: 'e1', seq: 9 }, true)
  expect(positions.of('e1').size).toBe(0)
})

it('remembers a thousand processes, however many names are told', () => {
  const positions = new EdgePositions(new FakeClock())
  for (let n = 0; n < 3000; n++)
    positions.take({ edge: `e${n}`, process: `p${n}`, epoch: 'e1', seq: n }, false)
  expect(positions.of('e1').size).toBe(1000)
})
