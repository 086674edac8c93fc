import { expect, test } from 'vitest'
import type { PlaySource } from '../../server/ingest/play-source.ts'
import { PlayerQueue } from '../../server/ingest/player-queue.ts'
import { Player } from '../../server/ingest/player.ts'

const LIMIT = 256 * 1024

/** A player whose socket takes nothing; what overfills its queue stops it. */
function open() {
  const reading = new Set<Disposable>()
  const source: PlaySource = {
    name: 'main',
    durationSeconds: undefined,
    start: () => {
      const one = { [Symbol.dispose]: () => void reading.delete(one) }
      reading.add(one)
      return one
    },
  }
  const socket = { write: () => false, cork() {}, uncork() {}, writableNeedDrain: true }
  const queue: PlayerQueue = new PlayerQueue(socket, { bytes: 10_000, mediaMs: 1000 }, () => 0, {
    onFinished: () => {},
    onOverflow: () => player.stop(),
  })
  const player = new Player(source, queue)
  return { player, queue, reading }
}

test('a player reads from its start to its stop, and again after a pause', () => {
  const { player, reading } = open()
  player.begin()
  expect(reading.size).toBe(1)
  player.pause()
  expect(reading.size).toBe(0)
  player.resume()
  expect(reading.size).toBe(1)
  player.stop()
  expect(reading.size).toBe(0)
})

test('one that is cut by its first words never begins to read', () => {
  const { player, queue, reading } = open()
  queue.send(Buffer.alloc(LIMIT))
  player.begin()
  expect(reading.size).toBe(0)
})

test('one that is cut by the answer to its going on does not read on', () => {
  const { player, queue, reading } = open()
  player.begin()
  player.pause()
  queue.send(Buffer.alloc(LIMIT - queue.queuedBytes))
  player.resume()
  expect(reading.size).toBe(0)
})
