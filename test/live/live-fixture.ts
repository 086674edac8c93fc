import type { Frame } from '../../server/codecs/frame.ts'
import type { OriginMessage } from '../../server/http/message.ts'
import type { Origin } from '../../server/http/message.ts'
import { readPlaylist, type ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import { collect } from '../../server/lib/bytes.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { systemRandom } from '../../server/lib/random.ts'
import {
  createLivePackager,
  type LivePackager,
  type LivePackagerDeps,
} from '../../server/live/packager.ts'
import { createLiveReplicas, type LiveReplicas } from '../../server/live/replicas.ts'
import type { LiveStream, StreamEnd } from '../../server/stream/live-stream.ts'
import { StreamRegistry } from '../../server/stream/registry.ts'
import { FakeClock } from '../support/fake-clock.ts'
import type { LiveMedia } from '../support/live-media.ts'

/** A packager on a clock that a test moves, and a publisher that sends media in its own time. */
export class LiveFixture {
  readonly clock: FakeClock
  readonly registry: StreamRegistry
  readonly packager: LivePackager

  private constructor(clock: FakeClock, registry: StreamRegistry, packager: LivePackager) {
    this.clock = clock
    this.registry = registry
    this.packager = packager
  }

  static async open(
    options: Partial<LivePackagerDeps> = {},
    clock = new FakeClock(),
  ): Promise<LiveFixture> {
    const registry = new StreamRegistry(clock, systemRandom)
    const packager = await createLivePackager({
      registry,
      clock,
      random: systemRandom,
      log: silentLog,
      metrics: new Metrics(),
      partSeconds: 0.2,
      windowSeconds: 60,
      ...options,
    })
    return new LiveFixture(clock, registry, packager)
  }

  publish(name = 'main'): Publisher {
    const stream = this.registry.publish(name, {
      description: 'test',
      cut: () => {},
      mayPublish: () => true,
    })
    return new Publisher(stream, this.clock)
  }

  /** What an edge of it has. */
  replicas(): LiveReplicas {
    return createLiveReplicas({
      openTail: async (name, signal) => this.packager.tail(name, signal),
      clock: this.clock,
      log: silentLog,
      metrics: new Metrics(),
      idleMs: 60_000,
    })
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return ask(this.packager.origin, path, headers)
  }

  async media(file: string, name = 'main'): Promise<ReadMedia> {
    return readMedia(await this.get(`/live/${name}/${file}`))
  }
}

export class Publisher {
  readonly stream: LiveStream
  readonly #clock: FakeClock
  #startedAt: number | undefined

  constructor(stream: LiveStream, clock: FakeClock) {
    this.stream = stream
    this.#clock = clock
  }

  /** Sends the frames with dts in [from, to) milliseconds, each when its time has come. */
  async send(
    media: LiveMedia,
    from = 0,
    to = Number.POSITIVE_INFINITY,
    afterEach: (frame: Frame) => Promise<void> | undefined = () => undefined,
  ): Promise<void> {
    if (this.stream.tracks !== media.tracks) this.stream.setTracks(media.tracks)
    this.#startedAt ??= this.#clock.now() - from
    for (const frame of media.frames) {
      if (frame.dts < from || frame.dts >= to) continue
      const due = this.#startedAt + frame.dts
      if (due > this.#clock.now()) await this.#clock.advance(due - this.#clock.now())
      this.stream.write(frame)
      await afterEach(frame)
    }
  }

  write(frame: Frame): void {
    this.stream.write(frame)
  }

  end(reason: StreamEnd = 'ended'): void {
    this.stream.end(reason)
  }
}

/** undefined while the answer is held. */
export async function answered(answer: Promise<Answer>): Promise<Answer | undefined> {
  await new Promise((resolve) => setImmediate(resolve))
  return await Promise.race([answer, Promise.resolve(undefined)])
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  readonly text: string
}

export async function ask(
  origin: Origin,
  path: string,
  headers: Record<string, string> = {},
  signal = new AbortController().signal,
  method = 'GET',
): Promise<Answer> {
  const [bare = '', query = ''] = path.split('?')
  const answer = await origin.fetch({ method, path: bare, query, headers, body: null, signal })
  if (answer.kind !== 'message') throw new Error('an upgrade')
  const body = await bodyOf(answer)
  const plain: Record<string, string> = {}
  for (const [name, value] of Object.entries(answer.headers)) plain[name] = String(value)
  return { status: answer.status, headers: plain, body, text: body.toString('utf8') }
}

async function bodyOf(answer: OriginMessage): Promise<Buffer> {
  const { body } = answer
  if (body === null) return Buffer.alloc(0)
  return body instanceof Uint8Array ? Buffer.from(body) : await collect(body)
}

export function readMedia(answer: Answer): ReadMedia {
  if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.text}`)
  const playlist = readPlaylist(answer.text)
  if (playlist.kind !== 'media') throw new Error('not a media playlist')
  return playlist
}
