import type { Frame } from '../codecs/frame.ts'
import type { Track } from '../codecs/track.ts'
import {
  FLV_TAG,
  flvCodecId,
  flvConfigBody,
  flvFrameBody,
  flvTime,
} from '../formats/flv/write-tags.ts'
import { writeMessage } from '../rtmp/chunk-writer.ts'
import { writeMetadata } from '../rtmp/write-command.ts'
import type { LiveStream, StreamMetadata } from '../stream/live-stream.ts'
import { type PlayOutput, type PlaySource, STREAM_ID } from './play-source.ts'

/**
 * A live stream as RTMP players get it: metadata, headers, the frames since the last key frame, then all that comes. `tell` writes the
 * metadata.
 */
export function livePlaySource(stream: LiveStream, tell = writeMetadata): PlaySource {
  return {
    name: stream.name,
    durationSeconds: undefined,
    start: (output) => startLivePlay(stream, output, tell),
  }
}

function startLivePlay(
  stream: LiveStream,
  output: PlayOutput,
  tell: typeof writeMetadata,
): Disposable {
  let tracks = new Map<number, Track>()
  let metadata: StreamMetadata = stream.metadata
  let started = false
  return stream.addReader({
    passesOn: true,
    onTracks: (all) => {
      const now = firstOfEachKind(all)
      tracks = new Map(now.map((track) => [track.id, track]))
      output.send(tell(STREAM_ID, describe(metadata, now)))
      for (const track of now) {
        const body = flvConfigBody(track)
        if (body) output.send(writeMessage(tagType(track), STREAM_ID, 0, body))
      }
    },
    onMetadata: (now) => {
      // The first call repeats what was sent with the tracks.
      if (now === metadata) return
      metadata = now
      output.send(tell(STREAM_ID, describe(metadata, [...tracks.values()])))
    },
    onFrame: (frame) => {
      const track = tracks.get(frame.trackId)
      if (!track) return
      const key = frame.key && (track.kind === 'video' || !hasVideo(tracks))
      // The stream may remember no key frame: nobody can decode what follows until the next one.
      if (!started && !key) return
      const bytes = encodeFrame(track, frame)
      if (!bytes) return
      started = true
      output.sendFrame(bytes, { key, timeMs: flvTime(track, frame.dts) })
    },
    onEnd: () => output.finish(),
  })
}

function hasVideo(tracks: ReadonlyMap<number, Track>): boolean {
  for (const track of tracks.values()) if (track.kind === 'video') return true
  return false
}

/** Players know one picture and one sound. */
function firstOfEachKind(tracks: readonly Track[]): readonly Track[] {
  const first = (kind: Track['kind']) => tracks.find((track) => track.kind === kind) ?? []
  return [first('video'), first('audio')].flat()
}

/** One encoding of each frame for all players, kept as long as the frame itself. */
const encoded = new WeakMap<Frame, Buffer>()

function encodeFrame(track: Track, frame: Frame): Buffer | undefined {
  const known = encoded.get(frame)
  if (known) return known
  const body = flvFrameBody(track, frame)
  if (!body) return undefined
  const bytes = writeMessage(tagType(track), STREAM_ID, flvTime(track, frame.dts), body)
  encoded.set(frame, bytes)
  return bytes
}

function tagType(track: Track): number {
  return track.kind === 'video' ? FLV_TAG.video : FLV_TAG.audio
}

/** A live stream has no duration, whatever its publisher guessed (ffmpeg writes one): players would draw a seek bar. */
const NOT_FOR_LIVE = new Set(['duration', 'filesize'])

function describe(metadata: StreamMetadata, tracks: readonly Track[]): StreamMetadata {
  const said = Object.entries(metadata).filter(([name]) => !NOT_FOR_LIVE.has(name))
  const known: Record<string, number> = {}
  for (const track of tracks) {
    const codecId = flvCodecId(track)
    known[track.kind === 'video' ? 'videocodecid' : 'audiocodecid'] = codecId
    if (track.kind === 'video') {
      known['width'] = track.width
      known['height'] = track.height
    } else {
      known['audiosamplerate'] = track.sampleRate
      known['audiochannels'] = track.channels
    }
  }
  return { ...Object.fromEntries(said), ...known }
}
