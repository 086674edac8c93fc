import { join } from 'node:path'
import type { ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { systemRandom } from '../../server/lib/random.ts'
import type { Archives, RecordingEvent } from '../../server/live/archives.ts'
import { RecordingCatalogue } from '../../server/live/recording-catalogue.ts'
import { Recordings } from '../../server/live/recordings.ts'
import type { StartLadder } from '../../server/live/rung.ts'
import type { ObjectStore } from '../../server/storage/object-store.ts'
import { createVodOrigin, type VodOrigin } from '../../server/vod/origin.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { newFolder, openWithArchive, until } from './archive-fixture.ts'
import { type Answer, ask, type LiveFixture, type Publisher, readMedia } from './live-fixture.ts'

/** 20 s, ten pictures and one key frame a second. */
export const MEDIA = await makeLiveMedia({ seconds: 20, fps: 10, gop: 10, size: '64x36' })
export const FIRST = 'recordings/main/20260101T000000Z'
const NEVER = new AbortController().signal

export interface RecordedOptions {
  readonly store: ObjectStore
  readonly clock?: FakeClock
  readonly folder?: string
  readonly record?: string | undefined
  readonly retentionSeconds?: number
  readonly queueBytes?: number
  readonly slateSeconds?: number
  readonly startLadder?: StartLadder
  readonly onRecording?: (event: RecordingEvent) => void
}

/** A server that records `main`, as far as recording goes. */
export class Recorded {
  readonly clock: FakeClock
  readonly live: LiveFixture
  readonly archives: Archives
  readonly recordings: Recordings
  readonly vod: VodOrigin
  /** Keys that caches were told to forget. */
  readonly forgotten: readonly string[]

  private constructor(
    clock: FakeClock,
    opened: { readonly live: LiveFixture; readonly archives: Archives },
    recordings: Recordings,
    vod: VodOrigin,
    forgotten: readonly string[],
  ) {
    this.clock = clock
    this.live = opened.live
    this.archives = opened.archives
    this.recordings = recordings
    this.vod = vod
    this.forgotten = forgotten
  }

  static async open(options: RecordedOptions): Promise<Recorded> {
    const { store, clock = new FakeClock() } = options
    const folder = options.folder ?? (await newFolder())
    const record = 'record' in options ? options.record : 'media'
    const storeOf = () => store
    const deps = { clock, random: systemRandom, log: silentLog, storeOf }
    const catalogue = await RecordingCatalogue.open(join(folder, 'list.ndjson'), silentLog)
    const opened = await openWithArchive(
      folder,
      {
        record,
        storeOf,
        onRecording: options.onRecording,
        onComplete: async ({ key, origin, index }) => {
          await catalogue.add(key, origin, index)
        },
        packager: { slateSeconds: options.slateSeconds, startLadder: options.startLadder },
        ...(options.queueBytes !== undefined && { queueBytes: options.queueBytes }),
      },
      clock,
    )
    const forgotten: string[] = []
    const recordings = new Recordings({
      ...deps,
      archives: opened.archives,
      catalogue,
      record,
      elsewhere: 'media',
      retentionSeconds: options.retentionSeconds ?? 0,
      onRemoved: (key) => forgotten.push(key),
    })
    const vod = createVodOrigin({ ...deps, store, metrics: new Metrics(), recordings })
    return new Recorded(clock, opened, recordings, vod, forgotten)
  }

  /** Publishes media from `from` to `to` milliseconds; resolves when what is closed lies on the disk. */
  async send(to: number, from = 0): Promise<Publisher> {
    const publisher = this.live.publish()
    await publisher.send(MEDIA, from, to, () => until(() => this.archives.waitingSegments === 0))
    return publisher
  }

  /** The stream ends; resolves when its recording is wholly in the store. */
  async end(): Promise<void> {
    this.live.packager.end('main')
    await until(() => this.archives.states().length === 0)
  }

  get(path: string, method = 'GET'): Promise<Answer> {
    return ask(this.vod, `/vod/${path}`, {}, new AbortController().signal, method)
  }

  async media(path: string): Promise<ReadMedia> {
    return readMedia(await this.get(path))
  }
}

export async function keysOf(store: ObjectStore, prefix = ''): Promise<readonly string[]> {
  const { objects } = await store.list(prefix, { limit: 1000, signal: NEVER })
  return objects.map(({ key }) => key)
}
