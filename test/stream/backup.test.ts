import { describe, expect, test } from 'vitest'
import type { Frame } from '../../server/codecs/frame.ts'
import type { Track } from '../../server/codecs/track.ts'
import { systemRandom } from '../../server/lib/random.ts'
import type { LiveStream } from '../../server/stream/live-stream.ts'
import { StreamRegistry } from '../../server/stream/registry.ts'
import { FakeClock } from '../support/fake-clock.ts'

const VIDEO: Track = {
  id: 1,
  kind: 'video',
  codec: 'avc',
  codecString: 'avc1.64000d',
  timescale: 1000,
  config: new Uint8Array(),
  language: 'und',
  width: 320,
  height: 180,
  pixelAspect: [1, 1],
  rotation: 0,
}

const frame = (dts: number, key: boolean): Frame => ({
  trackId: 1,
  dts,
  pts: dts,
  key,
  data: new Uint8Array(1),
})

/** A registry, and which of `main` was on air, in order. */
function open() {
  const clock = new FakeClock()
  const registry = new StreamRegistry(clock, systemRandom)
  const names = new Map<LiveStream, string>()
  const cuts: string[] = []
  const onAir: (string | undefined)[] = []
  registry.observe((stream) => onAir.push(names.get(stream) ?? 'new'))
  const publish = (name: string, backup = false) => {
    const stream = registry.publish('main', {
      description: name,
      backup,
      cut: () => cuts.push(name),
      mayPublish: () => true,
    })
    names.set(stream, name)
    stream.setTracks([VIDEO])
    return stream
  }
  /** All of them send for so long, a key frame each second. */
  const send = async (ms: number, ...streams: readonly LiveStream[]) => {
    for (let at = 0; at < ms; at += 50) {
      for (const stream of streams) stream.write(frame(clock.now() % 1e6, at % 1000 === 0))
      await clock.advance(50)
    }
  }
  return { clock, registry, publish, send, onAir, cuts }
}

describe('a backup', () => {
  test('is on air at once when the other is lost, until that is back with a picture', async () => {
    const { registry, publish, send, onAir, cuts } = open()
    const main = publish('main')
    const backup = publish('backup', true)
    await send(2000, main, backup)
    expect(onAir).toEqual(['new'])
    expect(registry.list().map((one) => one.onAir)).toEqual([true, false])
    main.end('lost')
    expect(onAir).toEqual(['new', 'backup'])
    const again = publish('main again')
    await send(2000, backup)
    expect(registry.get('main')).toBe(backup)
    again.write(frame(0, false))
    expect(registry.get('main')).toBe(backup)
    again.write(frame(50, true))
    expect(onAir).toEqual(['new', 'backup', 'main again'])
    expect(backup.ended).toBeUndefined()
    expect(cuts).toEqual([])
  })

  test('is on air within a second when the other is silent, and both may go on for long', async () => {
    const { clock, publish, send, onAir } = open()
    const main = publish('main')
    const backup = publish('backup', true)
    await send(2000, main, backup)
    const since = clock.now()
    while (onAir.length < 2) await send(50, backup)
    expect(clock.now() - since).toBeLessThanOrEqual(1000)
    await send(5000, main, backup)
    expect(onAir).toEqual(['new', 'backup', 'main'])
    await send(10_000, main, backup)
    expect(onAir).toHaveLength(3)
  })

  test('that sends nothing relieves nobody', async () => {
    const { clock, registry, publish, send, onAir } = open()
    const main = publish('main')
    publish('backup', true)
    await send(1000, main)
    await clock.advance(5000)
    expect(registry.get('main')).toBe(main)
    expect(onAir).toHaveLength(1)
  })

  test('alone is on air, and stays until the other has a picture', async () => {
    const { registry, publish, send } = open()
    const backup = publish('backup', true)
    await send(1000, backup)
    expect(registry.get('main')).toBe(backup)
    const main = publish('main')
    expect(registry.get('main')).toBe(backup)
    await send(100, main, backup)
    expect(registry.get('main')).toBe(main)
    backup.end('ended')
    expect(registry.get('main')).toBe(main)
    main.end('ended')
    expect(registry.get('main')).toBeUndefined()
    expect(registry.list()).toEqual([])
  })

  test('replaces a backup and no other, and the other replaces no backup', async () => {
    const { registry, publish, send, cuts } = open()
    const main = publish('main')
    const backup = publish('backup', true)
    await send(1000, main, backup)
    publish('second backup', true)
    expect(cuts).toEqual(['backup'])
    const second = publish('second main')
    expect(cuts).toEqual(['backup', 'main'])
    second.write(frame(0, true))
    expect(registry.get('main')).toBe(second)
  })

  test('is not put on air because the process stood still', async () => {
    const { clock, publish, send, onAir } = open()
    const main = publish('main')
    const backup = publish('backup', true)
    await send(1000, main, backup)
    await clock.standStill(60_000)
    backup.write(frame(0, true))
    await send(500, main, backup)
    expect(onAir).toHaveLength(1)
  })
})
