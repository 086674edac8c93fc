import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { readFromWorker, type ToWorker } from '../../server/main-worker-messages.ts'
import { startWorkers, type Workers } from '../../server/main-workers.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

/** A worker without a process. */
class FakeWorker {
  readonly told: ToWorker[] = []
  killed = false
  readonly say: (message: unknown) => void
  readonly end: (why: string) => void

  constructor(say: (message: unknown) => void, end: (why: string) => void) {
    this.say = say
    this.end = end
  }

  serve(seq = 0): void {
    this.say({ kind: 'listening' })
    this.say({ kind: 'applied', seq })
    this.say({ kind: 'serving', port: 4000 })
  }

  count(requests: number, viewers = 0): void {
    const help = 'requests of viewers'
    this.say({
      kind: 'facts',
      metrics: [{ name: 'requests_total', help, kind: 'counter', value: requests }],
      cache: { bytes: 100 },
      viewers: { main: viewers },
    })
  }
}

class Fixture {
  readonly clock = new FakeClock()
  readonly metrics = new Metrics()
  readonly processes: FakeWorker[] = []
  readonly ports: number[] = []
  /** How far all of them were, each time that may have changed. */
  readonly reached: (number | undefined)[] = []
  readonly workers: Workers

  constructor(count = 2) {
    this.workers = startWorkers({
      count,
      start: ({ onMessage, onEnd }) => {
        const worker = new FakeWorker(onMessage, onEnd)
        this.processes.push(worker)
        return {
          send: (message) => void worker.told.push(message),
          kill: () => {
            worker.killed = true
            worker.end('killed')
          },
        }
      },
      order: () => ({
        parent: { url: 'http://main', token: 'secret-token' },
        edgeId: 'local',
        memoryBytes: 1000,
        sliceBytes: 100,
        log: { level: 'silent', access: undefined },
        seq: 0,
      }),
      http: { host: '127.0.0.1', port: 4000 },
      clock: this.clock,
      log: silentLog,
      metrics: this.metrics,
      onServing: (port) => this.ports.push(port),
      onApplied: () => this.reached.push(this.workers.seq),
    })
  }

  at(index: number): FakeWorker {
    const worker = this.processes[index]
    if (!worker) throw new Error(`${this.processes.length} workers were started`)
    return worker
  }
}

async function isDone(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  void promise.then(() => {
    done = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  return done
}

describe('workers', () => {
  test('have started when each serves or failed once', async () => {
    const fixture = new Fixture()
    fixture.at(0).serve()
    expect(await isDone(fixture.workers.started)).toBe(false)
    fixture.at(1).end('exit code 1')
    expect(await isDone(fixture.workers.started)).toBe(true)
    expect(fixture.workers.report()).toEqual({ wanted: 2, serving: 1, restarts: 1 })
  })

  test('fail the start when their port is taken, and only then', async () => {
    const fixture = new Fixture()
    for (const at of [0, 1]) {
      fixture.at(at).say({ kind: 'listening' })
      fixture.at(at).say({ kind: 'failed', code: 'port-taken', sentence: 'port 1 is in use' })
      fixture.at(at).end('exit code 1')
    }
    await expect(fixture.workers.started).rejects.toThrow('port-taken: port 1 is in use')
    const other = new Fixture()
    for (const at of [0, 1]) other.at(at).end('exit code 1')
    await other.workers.started
  })

  test('are heard of also when one of them takes long to follow a change', async () => {
    const fixture = new Fixture()
    for (const at of [0, 1]) fixture.at(at).serve(4)
    const settled = fixture.workers.settled(5)
    fixture.at(0).say({ kind: 'applied', seq: 5 })
    await fixture.clock.advance(10_000)
    await settled
    expect(fixture.reached.at(-1)).toBe(4)
    fixture.at(1).say({ kind: 'applied', seq: 5 })
    expect(fixture.reached.at(-1)).toBe(5)
  })

  test('that die are replaced at once, then after longer and longer pauses', async () => {
    const fixture = new Fixture(1)
    fixture.at(0).serve()
    fixture.at(0).end('killed by SIGKILL')
    await fixture.clock.advance(0)
    expect(fixture.processes).toHaveLength(2)
    for (const [index, pause] of [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000].entries()) {
      fixture.at(index + 1).end('exit code 1')
      await fixture.clock.advance(pause - 1)
      expect(fixture.processes).toHaveLength(index + 2)
      await fixture.clock.advance(1)
      expect(fixture.processes).toHaveLength(index + 3)
    }
    fixture.at(9).serve()
    fixture.at(9).count(1)
    await fixture.clock.advance(10_000)
    fixture.at(9).end('killed by SIGKILL')
    await fixture.clock.advance(0)
    expect(fixture.processes).toHaveLength(11)
  })

  test('that say nothing for long are killed, also while they start', async () => {
    const fixture = new Fixture(1)
    await fixture.clock.advance(20_000)
    expect(fixture.at(0).killed).toBe(true)
    fixture.at(1).serve()
    await fixture.clock.advance(19_000)
    fixture.at(1).count(1)
    await fixture.clock.advance(19_000)
    expect(fixture.at(1).killed).toBe(false)
    await fixture.clock.advance(1000)
    expect(fixture.at(1).killed).toBe(true)
  })

  test('count together, and what a dead one counted is not lost', async () => {
    const fixture = new Fixture()
    for (const at of [0, 1]) fixture.at(at).serve()
    fixture.at(0).count(7, 2)
    fixture.at(1).count(5, 1)
    expect(fixture.metrics.read('requests_total')).toBe(12)
    expect(fixture.workers.viewers('main')).toBe(3)
    expect(fixture.workers.viewers('constructor')).toBe(0)
    expect(fixture.workers.cache()).toEqual({ bytes: 200 })
    expect(await fixture.metrics.text()).toContain('requests_total 12')
    fixture.at(0).end('killed')
    expect(fixture.metrics.read('requests_total')).toBe(12)
    expect(fixture.workers.viewers('main')).toBe(1)
    await fixture.clock.advance(0)
    fixture.at(2).serve()
    fixture.at(2).count(1)
    expect(await fixture.metrics.text()).toContain('requests_total 13')
  })

  test('settle a change when each that serves has applied it; a stuck one holds it up for a moment only', async () => {
    const fixture = new Fixture()
    for (const at of [0, 1]) fixture.at(at).serve(3)
    expect(fixture.workers.seq).toBe(3)
    const settled = fixture.workers.settled(4)
    fixture.at(0).say({ kind: 'applied', seq: 4 })
    expect(await isDone(settled)).toBe(false)
    fixture.at(1).say({ kind: 'applied', seq: 5 })
    expect(await isDone(settled)).toBe(true)
    const late = fixture.workers.settled(9)
    await fixture.clock.advance(2000)
    expect(await isDone(late)).toBe(true)
    expect(fixture.workers.seq).toBe(4)
  })

  test('explain a URL by the one that holds its answer', async () => {
    const fixture = new Fixture()
    for (const at of [0, 1]) fixture.at(at).serve()
    const asked = fixture.workers.explain('/a')
    fixture.at(0).say({ kind: 'answered', id: 0, answer: { stored: false } })
    fixture.at(1).say({ kind: 'answered', id: 0, answer: { stored: true } })
    expect(await asked).toEqual({ stored: true })
    const refused = fixture.workers.explain('::')
    const sentence = 'no URL'
    for (const at of [0, 1])
      fixture.at(at).say({ kind: 'answered', id: 1, code: 'bad-request', sentence })
    await expect(refused).rejects.toThrow('bad-request: no URL')
    const unanswered = fixture.workers.explain('/a')
    const failed = expect(unanswered).rejects.toThrow('unavailable')
    await fixture.clock.advance(5000)
    await failed
  })

  test('say together what an invalidation would take', async () => {
    const fixture = new Fixture()
    for (const at of [0, 1]) fixture.at(at).serve()
    const asked = fixture.workers.preview({ distribution: '*', paths: ['/a*'] }, 2)
    const answer = { objects: 2, bytes: 10, examples: ['/a', '/b'] }
    fixture.at(0).say({ kind: 'answered', id: 0, answer })
    fixture.at(1).say({ kind: 'answered', id: 0, answer: { ...answer, examples: ['/b', '/c'] } })
    expect(await asked).toEqual({ objects: 4, bytes: 20, examples: ['/a', '/b'] })
  })

  test('hear of each other what unsafe requests changed (RFC 9111 §4.4)', async () => {
    const fixture = new Fixture(3)
    for (const at of [0, 1, 2]) fixture.at(at).serve()
    fixture.at(1).say({ kind: 'forgot', distribution: 'default', path: '/a' })
    const told = fixture.processes.map(({ told: all }) => all.filter((m) => m.kind === 'forget'))
    const forget = { kind: 'forget', distribution: 'default', path: '/a' }
    expect(told).toEqual([[forget], [], [forget]])
  })

  test('drain when the server does; one that does not end is killed, and none follows', async () => {
    const fixture = new Fixture()
    fixture.at(0).serve()
    fixture.at(1).serve()
    const closed = fixture.workers.close(4000)
    expect(fixture.at(0).told.at(-1)).toEqual({ kind: 'drain' })
    fixture.at(0).end('exit code 0')
    expect(await isDone(closed)).toBe(false)
    await fixture.clock.advance(5000)
    expect(fixture.at(1).killed).toBe(true)
    await closed
    await fixture.clock.advance(60_000)
    expect(fixture.processes).toHaveLength(2)
  })
})

test('whatever a worker says is a message or nothing', () => {
  const kinds = fc.constantFrom('serving', 'failed', 'applied', 'facts', 'answered', 'listening')
  const value = fc.anything({ withNullPrototype: true })
  fc.assert(
    fc.property(
      fc.oneof(value, fc.record({ kind: kinds, port: value, seq: value, metrics: value })),
      (message) => {
        const fixture = new Fixture(1)
        fixture.at(0).say(message)
        expect(fixture.workers.report().wanted).toBe(1)
        const said = readFromWorker(message)
        if (said?.kind === 'serving') expect(said.port).toBeGreaterThan(0)
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
})
