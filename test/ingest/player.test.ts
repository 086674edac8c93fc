import { expect, test } from 'vitest'
import type { PlaySource } from '../../server/ingest/play-source.ts'
import { PlayerQueue } from '../../server/ingest/player-queue.ts'
import { Player } from '../../server/ingest/player.ts'

/** A player whose socket takes nothing and whose queue holds `bytes`; what overfills it stops the player. */
function open(bytes: number) {
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
  const queue: PlayerQueue = new PlayerQueue(socket, { bytes, mediaMs: 1000 }, () => 0, {
    onFinished: () => {},
    onOverflow: () => player.stop(),
  })
  const player = new Player(source, queue)
  return { player, queue, reading }
}

test('a player reads from its start to its stop, and again after a pause', () => {
  const { player, reading } = open(10_000)
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
  const { player, reading } = open(10)
  player.begin()
  expect(reading.size).toBe(0)
})

test('one that is cut by the answer to its going on does not read on', () => {
  const { player, queue, reading } = open(10_000)
  player.begin()
  const joinedWith = queue.queuedBytes
  player.pause()
  queue.send(Buffer.alloc(20_000 + joinedWith - queue.queuedBytes))
  player.resume()
  expect(reading.size).toBe(0)
})
