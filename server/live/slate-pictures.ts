import type { Frame } from '../codecs/frame.ts'
import { silentFrame } from '../codecs/silence.ts'
import type { AudioTrack, Track, VideoTrack } from '../codecs/track.ts'
import { audioGrid, chooseTracks, VIDEO_TIMESCALE } from './lane-tracks.ts'
import type { Rung, RungSink } from './rung.ts'
import type { MakeSlate, SlatePicture, SlateWish } from './slate.ts'
import type { SlateLoop, SlateSet } from './slate-feed.ts'
import type { RenditionId } from './window-event.ts'

/** What the last picture of a publisher's or of a rung was made with. */
interface Last {
  readonly track: VideoTrack
  key: Uint8Array | undefined
}

/** Of one stream; a publisher whose settings change all the time pushes out the first. */
const MADE_MAX = 32
const UNKNOWN_FPS = 30

/** Remembers what a stream looks like, and has slates of that form made while it is live. */
export class SlatePictures {
  readonly #make: MakeSlate | undefined
  readonly #videos = new Map<number, Last>()
  readonly #rungTracks = new Map<RenditionId, Last>()
  readonly #made = new Map<string, SlatePicture>()
  #audios: readonly AudioTrack[] = []
  #rungs: readonly Rung[] = []
  #framesPerSecond = UNKNOWN_FPS

  constructor(make: MakeSlate | undefined) {
    this.#make = make
  }

  seeTracks(tracks: readonly Track[]): void {
    const { videos, audios } = chooseTracks(tracks)
    this.#audios = audios.filter(hasGrid)
    const before = new Map(this.#videos)
    this.#videos.clear()
    for (const track of videos) {
      const known = before.get(track.id)
      this.#videos.set(track.id, known?.track === track ? known : { track, key: undefined })
    }
  }

  seeFrame({ trackId, key, data }: Frame): void {
    const last = key ? this.#videos.get(trackId) : undefined
    if (last) last.key = data
  }

  /** The sink of a ladder whose rungs are remembered too. */
  watch(sink: RungSink): RungSink {
    this.#rungTracks.clear()
    this.#rungs = []
    return {
      announce: (rungs) => {
        this.#rungs = rungs
        sink.announce(rungs)
      },
      onTrack: (id, track) => {
        this.#rungTracks.set(id, { track, key: undefined })
        sink.onTrack(id, track)
      },
      onFrame: (id, frame) => {
        const last = frame.key ? this.#rungTracks.get(id) : undefined
        if (last) last.key = frame.data
        sink.onFrame(id, frame)
      },
      onLost: (id) => sink.onLost(id),
    }
  }

  /** Has the slates made that are not there yet, one after the other. */
  async prepare(framesPerSecond: number, signal: AbortSignal): Promise<void> {
    if (framesPerSecond > 0)
      this.#framesPerSecond = Math.max(1, Math.min(120, Math.round(framesPerSecond)))
    const make = this.#make
    const [lead] = [...this.#videos.values()]
    if (!make || !lead) return
    const wishes = [
      ...[...this.#videos.values()].map(({ track }) => this.#wishOf(track)),
      ...this.#rungs.map(({ facts }) => this.#wishOf({ ...facts, codec: lead.track.codec })),
    ]
    for (const wish of wishes) {
      if (signal.aborted) return
      if (this.#made.has(nameOf(wish))) continue
      const picture = await make(wish, signal)
      if (picture) this.#keep(nameOf(wish), picture)
    }
  }

  /** What can be shown now; undefined when there is neither a picture nor a silence that leads. */
  slate(partTargetSeconds: number): SlateSet | undefined {
    const everyMs = 1000 / this.#framesPerSecond
    // One part each: pictures that are held cost as many bits as key frames do.
    const heldMs = everyMs * Math.max(1, Math.floor((partTargetSeconds * 1000) / everyMs + 1e-6))
    const loopOf = (
      { track, key }: Last,
      made: SlatePicture | undefined,
    ): SlateLoop | undefined => {
      const { id, language } = track
      if (made)
        return {
          track: { ...made.track, id, language, timescale: VIDEO_TIMESCALE },
          frames: made.frames,
          everyMs,
        }
      if (!key) return undefined
      const frames = [{ key: true, data: key }]
      return { track: { ...track, timescale: VIDEO_TIMESCALE }, frames, everyMs: heldMs }
    }
    const videos = [...this.#videos.values()].map((last) => ({
      last,
      loop: loopOf(last, this.#made.get(nameOf(this.#wishOf(last.track)))),
    }))
    const lead = videos[0]?.loop
    if (videos.length > 0 && !lead) return undefined
    const audios = this.#audios.map((track) => ({ track, silence: silentFrame(track) }))
    if (!lead && !audios[0]?.silence) return undefined
    const codec = lead?.track.codec ?? 'avc'
    const rungs = this.#rungs.flatMap((rung) => {
      const last = this.#rungTracks.get(rung.id)
      const made = this.#made.get(nameOf(this.#wishOf({ ...rung.facts, codec })))
      const own = last ? loopOf(last, made) : undefined
      const loop = own ?? lead
      return loop ? [{ rung, loop }] : []
    })
    return {
      videos: videos.map(({ last, loop }) => ({ track: loop?.track ?? last.track, loop })),
      audios,
      rungs,
    }
  }

  #wishOf(picture: Omit<SlateWish, 'framesPerSecond'>): SlateWish {
    const { codec, codecString, width, height } = picture
    return { codec, codecString, width, height, framesPerSecond: this.#framesPerSecond }
  }

  #keep(name: string, picture: SlatePicture): void {
    this.#made.set(name, picture)
    for (const oldest of this.#made.keys()) {
      if (this.#made.size <= MADE_MAX) break
      this.#made.delete(oldest)
    }
  }
}

function nameOf({ codecString, width, height, framesPerSecond }: SlateWish): string {
  return `${codecString} ${width}x${height} ${framesPerSecond}`
}

function hasGrid(track: AudioTrack): boolean {
  try {
    audioGrid(track)
    return true
  } catch {
    return false
  }
}
