import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { Metrics } from '../lib/metrics.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import { chooseEncoder, type EncoderChoice } from './choose-encoder.ts'
import type { FfmpegOptions } from './ffmpeg.ts'
import type { LadderWish } from './ladder-plan.ts'
import type { LadderReport, LadderSink } from './ladder-sink.ts'
import { LiveLadder } from './live-ladder.ts'
import { MachineRoom } from './machine-room.ts'

export interface LaddersDeps {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly ffmpeg: FfmpegOptions
  /** For the sockets of encoders; made anew, readable by nobody else. */
  readonly folder: string
  readonly wish: LadderWish
}

/** The ladders of all streams. */
export interface Ladders {
  /** Makes the rungs of one publish until it is disposed. */
  start(stream: LiveStream, sink: LadderSink): Disposable
  /** Undefined for a stream that has none, and with `off`. */
  report(name: string): LadderReport | undefined
  /** Ends every encoder. */
  close(): Promise<void>
}

/** The start has better to do than to try encoders. */
const TRIAL_AFTER_MS = 300
// unix(7): 108 bytes with the zero at their end; a name in the folder is shorter than this.
const SOCKET_PATH_BYTES_MAX = 107
const SOCKET_NAME_BYTES = 24

export function createLadders(deps: LaddersDeps): Ladders {
  const { clock, log, metrics, wish } = deps
  if (wish === 'off') return NONE
  const running = new Map<string, LiveLadder>()
  const room = new MachineRoom(clock)
  let choice: Promise<EncoderChoice> | undefined
  let folder: Promise<string> | undefined
  let runs = 0
  const encoders = () => {
    choice ??= chooseEncoder(deps.ffmpeg).then((chosen) => {
      const [first] = chosen.encoders
      const facts = { encoder: first?.name ?? 'none', failures: chosen.failures }
      if (first) log.info('encoder of ladders', facts)
      else log.warn('no ladders: nothing here encodes H.264', facts)
      return chosen
    })
    return choice
  }
  const openFolder = () => {
    folder ??= makeFolder(deps.folder).catch((error: unknown) => {
      folder = undefined
      throw error
    })
    return folder
  }
  const trial = clock.after(TRIAL_AFTER_MS, () => void encoders())
  const count = (read: (report: LadderReport) => number) =>
    [...running.values()].reduce((sum, { report }) => sum + read(report), 0)
  metrics.gauge(
    'nearcast_ladder_rungs',
    'Smaller renditions of live streams that are encoded',
    () => count(({ rungs }) => rungs.length),
  )
  return {
    start: (stream, sink) => {
      const ladder = new LiveLadder(stream, sink, {
        ...deps,
        room,
        encoders,
        folder: openFolder,
        nextName: () => String(++runs),
      })
      running.set(stream.name, ladder)
      return {
        [Symbol.dispose]: () => {
          ladder[Symbol.dispose]()
          if (running.get(stream.name) === ladder) running.delete(stream.name)
        },
      }
    },
    report: (name) => running.get(name)?.report,
    close: async () => {
      trial[Symbol.dispose]()
      room[Symbol.dispose]()
      for (const ladder of running.values()) ladder[Symbol.dispose]()
      running.clear()
      const made = await folder?.catch(() => undefined)
      if (made === undefined) return
      await rm(made, { recursive: true, force: true }).catch((error: unknown) => {
        log.warn('the folder of the ladders stays', { error: describeError(error) })
      })
    },
  }
}

const NONE: Ladders = {
  start: () => ({ [Symbol.dispose]: () => {} }),
  report: () => undefined,
  close: async () => {},
}

/** What a killed server left in it goes. Where its path is too long for sockets, there is another one. */
async function makeFolder(wanted: string): Promise<string> {
  if (Buffer.byteLength(wanted) + SOCKET_NAME_BYTES > SOCKET_PATH_BYTES_MAX)
    return mkdtemp(join(tmpdir(), 'nearcast-ladder-'))
  await rm(wanted, { recursive: true, force: true })
  await mkdir(wanted, { recursive: true, mode: 0o700 })
  return wanted
}
