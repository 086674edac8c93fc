import type { Frame } from '../codecs/frame.ts'
import type { Track } from '../codecs/track.ts'

/** What was measured of a publisher; what cannot be known yet is undefined. */
export interface StreamMeasures {
  /** Of all tracks as they come in, over the last ten seconds. */
  readonly bitsPerSecond: number | undefined
  readonly framesPerSecond: number | undefined
  /** The longest of the last few. */
  readonly keyIntervalSeconds: number | undefined
  readonly bFrames: boolean | undefined
  /** By how much sound moved against picture since the beginning; positive: sound comes earlier than it did. */
  readonly driftMs: number | undefined
  /** Holes in the picture within the last minute, and about how many pictures they lack. */
  readonly gaps: number
  readonly missingFrames: number
  /** Between the earliest and the latest arrival of the last ten seconds, against the times that frames carry. */
  readonly jitterMs: number | undefined
  /** By how much frames come later than they did within the last minute. */
  readonly lagMs: number | undefined
  /** Of the pictures, the part whose distance is not the usual one. */
  readonly unevenShare: number | undefined
  /** Samples a second by the times of the sound's frames, where it is AAC-LC. */
  readonly soundRate: number | undefined
}

interface Second {
  /** Monotonic, in seconds. */
  readonly at: number
  bytes: number
  gaps: number
  missing: number
  earliest: number
  latest: number
}

const KEPT_SECONDS = 60
const RECENT_SECONDS = 10
/** How long nothing may come on time before the stream is late: a stall of either process is shorter. */
const LATE_SECONDS = 5
const INTERVALS = 300
const USUAL_EACH = 30
const KEYS = 5
const BLOCK_MS = 10_000
const GAP_MS = 250
const AAC_SAMPLES = 1024
const SOUND_FRAMES_MIN = 200

/** Measures one publish as its frames arrive. Memory is bounded: a minute of seconds and 300 distances. */
export class HealthMeter {
  #lead: Track | undefined
  #sound: Track | undefined
  #seconds: Second[] = []
  readonly #began: number
  #lastMs: number | undefined
  #highestPts = Number.NEGATIVE_INFINITY
  #reordered = 0
  #pictures = 0
  #intervals: number[] = []
  /** Median of the intervals, looked for anew each so many of them: sorting at each frame would cost more than packaging it. */
  #usual: number | undefined
  #sinceUsual = 0
  #keyMs: number | undefined
  #keyIntervals: number[] = []
  #soundMs: number | undefined
  #soundDistances: number[] = []
  #block: { readonly since: number; sum: number; count: number } | undefined
  #blocks: number[] = []
  #firstSkew: number | undefined

  constructor(now: number) {
    this.#began = now
  }

  setTracks(tracks: readonly Track[]): void {
    const sound = tracks.find(({ kind }) => kind === 'audio')
    this.#lead = tracks.find(({ kind }) => kind === 'video') ?? sound
    this.#sound = sound
    this.#forgetTimes()
  }

  /** `now` is monotonic, in milliseconds. */
  add(frame: Frame, now: number): void {
    const second = this.#secondOf(now)
    second.bytes += frame.data.length
    const track = [this.#lead, this.#sound].find((one) => one?.id === frame.trackId)
    if (!track) return
    const ms = (frame.dts * 1000) / track.timescale
    if (track === this.#lead) this.#addLead(frame, ms, now, second)
    if (track === this.#sound) this.#addSound(ms, now)
  }

  measures(now: number): StreamMeasures {
    const newest = Math.floor(now / 1000)
    // The second that goes on is not whole.
    const within = (seconds: number) =>
      this.#seconds.filter(({ at }) => at < newest && at >= newest - seconds)
    const minute = within(KEPT_SECONDS)
    const recent = within(RECENT_SECONDS)
    const spent = Math.min(RECENT_SECONDS, newest - Math.ceil(this.#began / 1000))
    const earliest = (seconds: readonly Second[]) =>
      Math.min(...seconds.map((second) => second.earliest))
    const latest = Math.max(...recent.map((second) => second.latest))
    const lag = earliest(within(LATE_SECONDS)) - earliest(minute)
    const usual = medianOf(this.#intervals)
    const steady = usual !== undefined && this.#intervals.length >= 60
    const uneven = this.#intervals.filter(
      (one) => Math.abs(one - (usual ?? 0)) > Math.max(6, (usual ?? 0) * 0.4),
    )
    const span = this.#intervals.reduce((sum, one) => sum + one, 0)
    const video = this.#lead?.kind === 'video'
    return {
      bitsPerSecond:
        spent > 0 ? (recent.reduce((sum, { bytes }) => sum + bytes, 0) * 8) / spent : undefined,
      framesPerSecond:
        video && this.#intervals.length >= 10
          ? (this.#intervals.length * 1000) / Math.max(1, span)
          : undefined,
      keyIntervalSeconds:
        video && this.#keyIntervals.length > 0 ? Math.max(...this.#keyIntervals) / 1000 : undefined,
      bFrames: video && this.#pictures >= 30 ? this.#reordered > 0 : undefined,
      driftMs: this.#drift(),
      gaps: minute.reduce((sum, { gaps }) => sum + gaps, 0),
      missingFrames: minute.reduce((sum, { missing }) => sum + missing, 0),
      jitterMs: recent.length > 0 ? finite(latest - earliest(recent)) : undefined,
      lagMs: minute.length >= RECENT_SECONDS ? finite(lag) : undefined,
      unevenShare: video && steady ? uneven.length / this.#intervals.length : undefined,
      soundRate: this.#soundRate(),
    }
  }

  #addLead({ pts, key }: Frame, ms: number, now: number, second: Second): void {
    const distance = this.#lastMs === undefined ? undefined : ms - this.#lastMs
    if (distance !== undefined && distance < 0) this.#forgetTimes()
    else if (distance !== undefined && this.#lead?.kind === 'video')
      this.#addInterval(distance, second)
    this.#lastMs = ms
    const lateness = now - ms
    second.earliest = Math.min(second.earliest, lateness)
    second.latest = Math.max(second.latest, lateness)
    if (this.#lead?.kind !== 'video') return
    this.#pictures += 1
    if (pts < this.#highestPts) this.#reordered += 1
    this.#highestPts = Math.max(this.#highestPts, pts)
    if (!key) return
    if (this.#keyMs !== undefined) push(this.#keyIntervals, ms - this.#keyMs, KEYS)
    this.#keyMs = ms
  }

  #addInterval(distance: number, second: Second): void {
    const usual = this.#usual
    if (usual !== undefined && distance > Math.max(GAP_MS, usual * 3)) {
      second.gaps += 1
      second.missing += Math.max(1, Math.round(distance / Math.max(1, usual)) - 1)
      return
    }
    push(this.#intervals, distance, INTERVALS)
    this.#sinceUsual += 1
    if (this.#sinceUsual < USUAL_EACH) return
    this.#sinceUsual = 0
    this.#usual = medianOf(this.#intervals)
  }

  #addSound(ms: number, now: number): void {
    const distance = this.#soundMs === undefined ? undefined : ms - this.#soundMs
    this.#soundMs = ms
    if (distance !== undefined && distance > 0) push(this.#soundDistances, distance, INTERVALS)
    if (this.#lead?.kind !== 'video' || this.#lastMs === undefined) return
    this.#block ??= { since: now, sum: 0, count: 0 }
    this.#block.sum += ms - this.#lastMs
    this.#block.count += 1
    if (now - this.#block.since < BLOCK_MS) return
    const skew = this.#block.sum / this.#block.count
    this.#block = undefined
    if (this.#firstSkew === undefined) this.#firstSkew = skew
    else push(this.#blocks, skew, 2)
  }

  /** The lesser of the last two blocks: a hole in the picture moves one of them. */
  #drift(): number | undefined {
    if (this.#firstSkew === undefined || this.#blocks.length < 2) return undefined
    const first = this.#firstSkew
    return this.#blocks.map((skew) => skew - first).toSorted((a, b) => Math.abs(a) - Math.abs(b))[0]
  }

  #soundRate(): number | undefined {
    if (this.#sound?.codecString !== 'mp4a.40.2') return undefined
    const usual = medianOf(this.#soundDistances)
    // RTMP's times are whole milliseconds: only the mean of many tells, and only without holes.
    const whole = this.#soundDistances.filter((one) => usual !== undefined && one <= usual * 1.5)
    if (whole.length < SOUND_FRAMES_MIN) return undefined
    const mean = whole.reduce((sum, one) => sum + one, 0) / whole.length
    return (AAC_SAMPLES * 1000) / mean
  }

  #secondOf(now: number): Second {
    const at = Math.floor(now / 1000)
    const last = this.#seconds.at(-1)
    if (last?.at === at) return last
    const second: Second = {
      at,
      bytes: 0,
      gaps: 0,
      missing: 0,
      earliest: Number.POSITIVE_INFINITY,
      latest: Number.NEGATIVE_INFINITY,
    }
    push(this.#seconds, second, KEPT_SECONDS + 1)
    return second
  }

  /** The times begin anew: what was said of the old ones holds no longer. */
  #forgetTimes(): void {
    this.#lastMs = undefined
    this.#highestPts = Number.NEGATIVE_INFINITY
    this.#pictures = 0
    this.#reordered = 0
    this.#intervals = []
    this.#usual = undefined
    this.#sinceUsual = 0
    this.#keyMs = undefined
    this.#keyIntervals = []
    this.#soundMs = undefined
    this.#soundDistances = []
    this.#block = undefined
    this.#blocks = []
    this.#firstSkew = undefined
    for (const second of this.#seconds) {
      second.earliest = Number.POSITIVE_INFINITY
      second.latest = Number.NEGATIVE_INFINITY
    }
  }
}

function push<T>(list: T[], value: T, max: number): void {
  list.push(value)
  if (list.length > max) list.shift()
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? Math.max(0, value) : undefined
}

function medianOf(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
}
