import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Frame } from '../../server/codecs/frame.ts'
import type { VideoTrack } from '../../server/codecs/track.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { type Log, silentLog } from '../../server/lib/log.ts'
import { LiveStream } from '../../server/stream/live-stream.ts'
import { chooseEncoder } from '../../server/transcode/choose-encoder.ts'
import type { LadderWish } from '../../server/transcode/ladder-plan.ts'
import type { AnnouncedRung, LadderSink } from '../../server/transcode/ladder-sink.ts'
import { LiveLadder, type LiveLadderDeps } from '../../server/transcode/live-ladder.ts'
import type { LiveMedia } from '../support/live-media.ts'

const choice = chooseEncoder({ path: undefined })

/** What a ladder has said, in order, and the frames of each rung. */
export class RecordingSink implements LadderSink {
  readonly announced: (readonly AnnouncedRung[])[] = []
  readonly tracks = new Map<string, VideoTrack[]>()
  readonly frames = new Map<string, Frame[]>()
  readonly lost: string[] = []

  announce(rungs: readonly AnnouncedRung[]): void {
    this.announced.push(rungs)
  }
  onTrack(id: string, track: VideoTrack): void {
    this.tracks.set(id, [...(this.tracks.get(id) ?? []), track])
  }
  onFrame(id: string, frame: Frame): void {
    const frames = this.frames.get(id) ?? []
    frames.push(frame)
    this.frames.set(id, frames)
  }
  onLost(id: string): void {
    this.lost.push(id)
  }
  /** Of one rung. */
  count(id: string): number {
    return this.frames.get(id)?.length ?? 0
  }
}

export interface TestLadder extends AsyncDisposable {
  readonly stream: LiveStream
  readonly sink: RecordingSink
  readonly ladder: LiveLadder
}

/** A ladder of the real ffmpeg over a stream that a test writes. */
export async function startLadder(
  wish: LadderWish,
  more: Partial<LiveLadderDeps> & { readonly log?: Log } = {},
): Promise<TestLadder> {
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-ladder-'))
  const stream = new LiveStream('main', 'epoch', 0)
  const sink = new RecordingSink()
  let runs = 0
  const ladder = new LiveLadder(stream, sink, {
    clock: systemClock,
    log: silentLog,
    ffmpeg: { path: undefined },
    folder: async () => folder,
    nextName: () => String(++runs),
    wish,
    room: { cores: 8, idleCores: () => 8 },
    encoders: () => choice,
    niceness: 0,
    ...more,
  })
  return {
    stream,
    sink,
    ladder,
    [Symbol.asyncDispose]: async () => {
      ladder[Symbol.dispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A program in the place of ffmpeg; `"$@"` is what ffmpeg would be given. */
export async function writeFakeFfmpeg(folder: string, script: string): Promise<string> {
  const file = join(folder, 'ffmpeg')
  await writeFile(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return file
}

/** All that media holds from `from` to `to` milliseconds, at once. */
export function sendAll(stream: LiveStream, media: LiveMedia, from = 0, to = 1e9): void {
  if (stream.tracks.length === 0) stream.setTracks(media.tracks)
  for (const frame of media.frames) if (frame.dts >= from && frame.dts < to) stream.write(frame)
}

/** As a publisher would, one picture after the other, until it is aborted; the media again when it is over. */
export async function sendInTime(
  stream: LiveStream,
  media: LiveMedia,
  signal: AbortSignal,
): Promise<void> {
  stream.setTracks(media.tracks)
  const lengthMs = (media.frames.at(-1)?.dts ?? 0) + 40
  const startedAt = systemClock.monotonic()
  for (let round = 0; !signal.aborted; round++) {
    const shift = round * lengthMs
    for (const frame of media.frames) {
      const due = startedAt + shift + frame.dts - systemClock.monotonic()
      if (due > 0) await systemClock.sleep(due, signal).catch(() => {})
      if (signal.aborted) return
      stream.write({ ...frame, dts: frame.dts + shift, pts: frame.pts + shift })
    }
  }
}

/** The pictures of the source. */
export function picturesOf(media: LiveMedia): readonly Frame[] {
  const id = media.tracks.find(({ kind }) => kind === 'video')?.id
  return media.frames.filter(({ trackId }) => trackId === id)
}
