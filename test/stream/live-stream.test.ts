import { describe, expect, test } from 'vitest'
import type { Frame } from '../../server/codecs/frame.ts'
import type { Track } from '../../server/codecs/track.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { LiveStream, type StreamReader } from '../../server/stream/live-stream.ts'
import { StreamRegistry } from '../../server/stream/registry.ts'
import { FakeClock } from '../support/fake-clock.ts'

const common = { timescale: 1000, config: new Uint8Array(), language: 'und' } as const
const VIDEO: Track = {
  ...common,
  id: 1,
  kind: 'video',
  codec: 'avc',
  codecString: 'avc1.64000d',
  width: 320,
  height: 180,
  pixelAspect: [1, 1],
  rotation: 0,
}
const AUDIO: Track = {
  ...common,
  id: 2,
  kind: 'audio',
  codec: 'aac',
  codecString: 'mp4a.40.2',
  sampleRate: 48_000,
  channels: 2,
}

const frame = (trackId: number, dts: number, key: boolean, bytes = 1): Frame => ({
  trackId,
  dts,
  pts: dts,
  key,
  data: new Uint8Array(bytes),
})

/** A reader that keeps what it is told. */
function keeping() {
  const told: (string | number)[] = []
  const reader: StreamReader = {
    onTracks: (tracks) => void told.push(tracks.map((track) => track.kind).join('+')),
    onFrame: ({ dts }) => void told.push(dts),
    onEnd: (reason) => void told.push(reason),
  }
  return { told, reader }
}

function open(tracks: readonly Track[]): LiveStream {
  const stream = new LiveStream('main', 'epoch', 0)
  stream.setTracks(tracks)
  return stream
}

describe('a live stream', () => {
  test('who only passes a frame on has it before who makes something of it, whoever came first', () => {
    const stream = open([VIDEO])
    const order: string[] = []
    const named = (name: string, passesOn?: boolean): StreamReader => ({
      passesOn,
      onTracks: () => {},
      onFrame: () => void order.push(name),
      onEnd: () => {},
    })
    stream.addReader(named('packager'))
    const player = stream.addReader(named('player', true))
    stream.write(frame(1, 0, true))
    expect(order).toEqual(['player', 'packager'])
    expect(stream.readerCount).toBe(2)
    player[Symbol.dispose]()
    stream.write(frame(1, 33, false))
    expect(order).toEqual(['player', 'packager', 'packager'])
  })

  test('a reader that joins gets the tracks, all since the last key frame, then what comes', () => {
    const stream = open([VIDEO, AUDIO])
    stream.write(frame(1, 0, true))
    stream.write(frame(1, 100, true))
    stream.write(frame(2, 110, true))
    const { told, reader } = keeping()
    stream.addReader(reader)
    stream.write(frame(1, 133, false))
    expect(told).toEqual(['video+audio', 100, 110, 133])
  })

  test('one that asks for now gets no past, and none that is disposed gets more', () => {
    const stream = open([VIDEO])
    stream.write(frame(1, 0, true))
    const { told, reader } = keeping()
    const reading = stream.addReader(reader, 'now')
    stream.write(frame(1, 33, false))
    reading[Symbol.dispose]()
    stream.write(frame(1, 66, false))
    expect(told).toEqual(['video', 33])
    expect(stream.readerCount).toBe(0)
  })

  test('of sound alone the last frame is what is kept', () => {
    const stream = open([AUDIO])
    for (const time of [0, 21, 42]) stream.write(frame(2, time, true))
    const { told, reader } = keeping()
    stream.addReader(reader)
    expect(told).toEqual(['audio', 42])
  })

  test('past 32 MiB nothing is kept until the next key frame, and frames of one byte count 257', () => {
    const stream = open([VIDEO])
    stream.write(frame(1, 0, true, 32 * 1024 * 1024 - 256 - 257))
    stream.write(frame(1, 1, false))
    const before = keeping()
    stream.addReader(before.reader)[Symbol.dispose]()
    stream.write(frame(1, 2, false))
    stream.write(frame(1, 3, false))
    const after = keeping()
    stream.addReader(after.reader)
    stream.write(frame(1, 4, true))
    expect(before.told).toEqual(['video', 0, 1])
    expect(after.told).toEqual(['video', 4])
  })

  test('it ends once; who comes later is told so, and what is written then goes nowhere', () => {
    const stream = open([VIDEO])
    const early = keeping()
    stream.addReader(early.reader)
    stream.end('lost')
    stream.end('ended')
    stream.write(frame(1, 0, true))
    const late = keeping()
    stream.addReader(late.reader)
    expect(early.told).toEqual(['video', 'lost'])
    expect(late.told).toEqual(['video', 'lost'])
    expect(stream.readerCount).toBe(0)
  })

  test('a reader that joins while a frame is given out gets it once, and may leave at once', () => {
    const stream = new LiveStream('main', 'epoch', 0)
    stream.setTracks([VIDEO])
    const joining = keeping()
    const leaving = keeping()
    stream.addReader({
      onTracks: () => {},
      onFrame: ({ dts }) => {
        if (dts !== 0) return
        stream.addReader(joining.reader)
        stream.addReader(leaving.reader)[Symbol.dispose]()
      },
      onEnd: () => {},
    })
    stream.write(frame(1, 0, true))
    stream.write(frame(1, 33, false))
    stream.end('ended')
    expect(joining.told).toEqual(['video', 0, 33, 'ended'])
    expect(leaving.told).toEqual(['video', 0])
  })
})

describe('the registry', () => {
  test('the newest publisher wins: the former stream has ended when its publisher is cut', () => {
    const registry = new StreamRegistry(new FakeClock(), systemRandom)
    const cuts: (string | undefined)[] = []
    const publish = () =>
      registry.publish('main', {
        description: 'test',
        cut: () => cuts.push(first.ended),
        mayPublish: () => true,
      })
    const first = publish()
    const second = publish()
    expect(cuts).toEqual(['replaced'])
    expect(registry.get('main')).toBe(second)
    expect(second.epoch).not.toBe(first.epoch)
    second.end('ended')
    expect(registry.list()).toEqual([])
  })

  test('observers see each stream that starts, until disposed', () => {
    const registry = new StreamRegistry(new FakeClock(), systemRandom)
    const seen: string[] = []
    const observing = registry.observe((stream) => seen.push(stream.name))
    registry.publish('a', { description: 'test', cut: () => {}, mayPublish: () => true })
    observing[Symbol.dispose]()
    registry.publish('b', { description: 'test', cut: () => {}, mayPublish: () => true })
    expect(seen).toEqual(['a'])
  })
})
