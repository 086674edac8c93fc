import { describe, expect, test } from 'vitest'
import { PlayerQueue } from '../../server/ingest/player-queue.ts'

/** A socket that takes `room` bytes and then wants to be drained. */
function open(limits = { bytes: 1000, mediaMs: 5000 }) {
  const socket = {
    written: [] as number[],
    room: 0,
    writableNeedDrain: false,
    write(bytes: Uint8Array) {
      socket.written.push(bytes.length)
      socket.room -= bytes.length
      socket.writableNeedDrain = socket.room <= 0
      return !socket.writableNeedDrain
    },
    cork() {},
    uncork() {},
  }
  const events: string[] = []
  let now = 0
  const queue = new PlayerQueue(socket, limits, () => now, {
    onFinished: () => events.push('finished'),
    onOverflow: () => events.push('overflow'),
  })
  const drain = (room: number) => {
    socket.room = room
    socket.writableNeedDrain = false
    queue.pump()
  }
  const frame = (bytes: number, timeMs: number, key = false) =>
    queue.sendFrame(Buffer.alloc(bytes), { key, timeMs })
  return { socket, queue, events, drain, frame, wait: (ms: number) => (now += ms) }
}

describe('a player’s queue', () => {
  test('writes at once while the socket takes it, then waits for drain', () => {
    const { socket, drain, frame } = open()
    drain(150)
    frame(100, 0)
    frame(101, 10)
    frame(102, 20)
    expect(socket.written).toEqual([100, 101])
    drain(1000)
    expect(socket.written).toEqual([100, 101, 102])
  })

  test('past its bytes it drops frames up to the next key frame, headers never', () => {
    const { socket, queue, drain, frame } = open()
    frame(10, 0, true)
    queue.send(Buffer.alloc(11))
    frame(600, 10)
    frame(601, 20)
    frame(602, 30)
    frame(30, 40, true)
    drain(10_000)
    expect(socket.written).toEqual([10, 11, 30])
    expect(queue.droppedFrames).toBe(3)
  })

  test('past its media time it drops too', () => {
    const { queue, frame } = open()
    for (const time of [0, 1000, 3000, 5000, 6001]) frame(1, time)
    expect(queue.droppedFrames).toBeGreaterThan(0)
  })

  test('what a player joins with may wait beyond the limits, but no more than that', () => {
    const { queue, frame } = open()
    queue.join()
    for (let i = 0; i < 50; i += 1) frame(100, i * 1000, i === 0)
    queue.joined()
    expect(queue.droppedFrames).toBe(0)
    frame(900, 50_000)
    expect(queue.droppedFrames).toBe(0)
    frame(900, 51_000)
    expect(queue.droppedFrames).toBeGreaterThan(40)
  })

  test('a message that the socket has begun to take is finished before frames are dropped', () => {
    const { socket, drain, frame } = open({ bytes: 200_000, mediaMs: 5000 })
    drain(70_000)
    frame(150_000, 0)
    expect(socket.written).toEqual([65_536, 65_536])
    frame(300_000, 10)
    frame(7, 20, true)
    drain(1_000_000)
    expect(socket.written).toEqual([65_536, 65_536, 18_928, 7])
  })

  test('past 256 KiB of headers and answers that client is to be cut, whatever frames may wait', () => {
    const { queue, events, drain, frame } = open({ bytes: 16_000_000, mediaMs: 5000 })
    drain(1)
    frame(1, 0, true)
    frame(1_000_000, 10)
    for (let i = 0; i < 256; i += 1) queue.send(Buffer.alloc(1024))
    expect(events).toEqual([])
    drain(1_000_000 + 65_536)
    queue.send(Buffer.alloc(65_536))
    expect(events).toEqual([])
    queue.send(Buffer.alloc(1))
    expect(events).toEqual(['overflow'])
  })

  test('it tells how long the socket took nothing; time the process stood still does not count, each drain starts anew', () => {
    const { queue, drain, frame, wait } = open({ bytes: 1e6, mediaMs: 5000 })
    expect(queue.stalledMs()).toBe(0)
    drain(1)
    frame(70_000, 0)
    wait(9000)
    expect(queue.stalledMs()).toBe(9000)
    // Of which this process itself was stopped for 7 s.
    queue.discount(7000)
    expect(queue.stalledMs()).toBe(2000)
    queue.discount(7000)
    expect(queue.stalledMs()).toBe(0)
    wait(500)
    expect(queue.stalledMs()).toBe(500)
    drain(1)
    expect(queue.stalledMs()).toBe(0)
  })

  test('it finishes when all is written, and takes nothing more', () => {
    const { socket, queue, events, drain, frame } = open()
    drain(1)
    frame(10, 0)
    frame(11, 0)
    queue.finish()
    frame(12, 0)
    expect(events).toEqual([])
    drain(1000)
    expect(events).toEqual(['finished'])
    expect(socket.written).toEqual([10, 11])
  })
})
