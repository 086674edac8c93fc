import type { StreamMeasures } from './health-meter.ts'

export type AdviceCode =
  | 'upload-slow'
  | 'frames-missing'
  | 'key-frames-rare'
  | 'sound-rate-wrong'
  | 'sound-drifts'
  | 'frame-rate-varies'

/** What would make a stream better, as one sentence for the streamer. */
export interface Advice {
  readonly code: AdviceCode
  /** `problem`: viewers see or hear it; `hint`: it could be better. */
  readonly weight: 'problem' | 'hint'
  readonly sentence: string
}

/** Far enough from what healthy streams show: OBS over a good line has some 10 ms of each. */
const LAG_MS = 1000
const GAPS = 2
const KEY_INTERVAL_SECONDS = 4.1
const DRIFT_MS = 150
const RATE_SHARE = 0.02
const UNEVEN_SHARE = 0.2

/** The worst first; nothing for a healthy stream, or while it is not known. */
export function adviceOn(
  measures: StreamMeasures,
  sampleRate: number | undefined,
): readonly Advice[] {
  const { lagMs, gaps, missingFrames, keyIntervalSeconds, soundRate, driftMs } = measures
  const advice: Advice[] = []
  const say = (code: AdviceCode, weight: Advice['weight'], sentence: string) =>
    advice.push({ code, weight, sentence })
  if (lagMs !== undefined && lagMs > LAG_MS)
    say(
      'upload-slow',
      'problem',
      `Frames come ${seconds(lagMs)} later than they did: the upload is too slow for this stream. In OBS, lower Settings → Output → Video Bitrate${below(measures.bitsPerSecond)}, or use a wired connection.`,
    )
  if (gaps >= GAPS)
    say(
      'frames-missing',
      'problem',
      `The picture had ${gaps} holes in the last minute, about ${missingFrames} frames: the upload or the encoder cannot keep up. In OBS, look at “Dropped frames” (lower the bitrate) and “Skipped frames” (a faster encoder preset) under View → Stats.`,
    )
  if (
    soundRate !== undefined &&
    sampleRate !== undefined &&
    Math.abs(soundRate / sampleRate - 1) > RATE_SHARE
  )
    say(
      'sound-rate-wrong',
      'problem',
      `The sound says ${kilohertz(sampleRate)} kHz but comes at ${kilohertz(soundRate)} kHz. In OBS, set Settings → Audio → Sample Rate to 48 kHz, and the same rate at the sound device.`,
    )
  else if (driftMs !== undefined && Math.abs(driftMs) > DRIFT_MS)
    say(
      'sound-drifts',
      'problem',
      `Sound and picture have moved apart by ${seconds(Math.abs(driftMs))} since the stream began. Restart the stream, and set the sound device to the rate under Settings → Audio → Sample Rate.`,
    )
  if (keyIntervalSeconds !== undefined && keyIntervalSeconds > KEY_INTERVAL_SECONDS)
    say(
      'key-frames-rare',
      'hint',
      `In OBS, set Settings → Output → Keyframe Interval to 1 s: viewers now wait up to ${keyIntervalSeconds.toFixed(1)} s for a picture where the stream is not encoded again.`,
    )
  if (measures.unevenShare !== undefined && measures.unevenShare > UNEVEN_SHARE)
    say(
      'frame-rate-varies',
      'hint',
      'The distance between pictures varies. Send a constant frame rate: in OBS, Settings → Video → Common FPS Values.',
    )
  return advice
}

/** `good` without advice, `fair` with hints, `poor` with a problem. */
export function conditionOf(advice: readonly Advice[]): 'good' | 'fair' | 'poor' {
  if (advice.some(({ weight }) => weight === 'problem')) return 'poor'
  return advice.length > 0 ? 'fair' : 'good'
}

function below(bitsPerSecond: number | undefined): string {
  if (!bitsPerSecond) return ''
  return ` below ${Math.max(100, Math.floor((bitsPerSecond * 0.8) / 100_000) * 100)} kbit/s`
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

function kilohertz(rate: number): string {
  return (rate / 1000).toFixed(1)
}
