import { join } from 'node:path'
import type { Config } from './config/config.ts'
import type { Clock } from './lib/clock.ts'
import type { Log } from './lib/log.ts'
import type { Metrics } from './lib/metrics.ts'
import type { Random } from './lib/random.ts'
import { Archives, type RecordingEvent } from './live/archives.ts'
import { RecordingCatalogue } from './live/recording-catalogue.ts'
import { Recordings } from './live/recordings.ts'
import { DEFAULT_WINDOW_LIMITS } from './live/window-limits.ts'
import type { ObjectStore } from './storage/object-store.ts'

export interface RecordingParts {
  /** What live windows are kept in, for rewinding and as recordings. */
  readonly archives: Archives
  readonly recordings: Recordings
}

/** What `live.record` and `live.retention` ask for. Nothing is taken up of an earlier start before `archives` are resumed. */
export async function openRecording({
  config,
  metrics,
  onRecording,
  ...deps
}: {
  readonly config: Config
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
  readonly storeOf: (origin: string) => ObjectStore
  readonly onRecording?: ((event: RecordingEvent) => void) | undefined
  readonly onRemoved: (key: string) => void
}): Promise<RecordingParts> {
  const folder = join(config.data, 'live-archive')
  const { record, recordQueueBytes: queueBytes, retention: retentionSeconds } = config.live
  const catalogue = await RecordingCatalogue.open(join(folder, 'recordings.ndjson'), deps.log)
  const archives = new Archives({
    ...deps,
    folder,
    record,
    queueBytes,
    limits: DEFAULT_WINDOW_LIMITS,
    onRecording,
    onComplete: async ({ key, origin, index }) => {
      await catalogue.add(key, origin, index)
    },
  })
  const elsewhere = config.vod.origin
  const recordings = new Recordings({
    ...deps,
    archives,
    catalogue,
    record,
    elsewhere,
    retentionSeconds,
  })
  const states = () => archives.states()
  metrics.gauge('nearcast_recordings_running', 'Recordings that media is being added to', () => {
    return states().filter(({ state }) => state === 'recording').length
  })
  metrics.gauge(
    'nearcast_recording_waiting_bytes',
    'What of recordings lies on this disk and not in its store yet',
    () => states().reduce((sum, { waitingBytes }) => sum + waitingBytes, 0),
  )
  metrics.gauge(
    'nearcast_recordings_failing',
    'Recordings whose store cannot be written at the moment',
    () => states().filter(({ storeFails }) => storeFails).length,
  )
  return { archives, recordings }
}
