import type { Film } from './film.ts'

/** What a stored file is, and how it will be played. */
export interface FilmReport {
  readonly key: string
  /** One sentence on what viewers get of it. */
  readonly plays: string
  readonly sizeBytes: number
  readonly etag: string
  readonly durationSeconds: number
  readonly tracks: readonly TrackReport[]
  /** Sentences on tracks that are left out. */
  readonly notPlayed: readonly string[]
  /** The file ends before its last sample, or a fragment of it cannot be read. */
  readonly truncated: boolean
  readonly segments: number
  readonly bandwidth: number
  readonly indexBytes: number
}

export interface TrackReport {
  readonly kind: 'video' | 'audio'
  readonly codec: string
  readonly codecString: string
  readonly language: string
  readonly samples: number
  readonly width?: number | undefined
  readonly height?: number | undefined
  readonly rotation?: number | undefined
  readonly sampleRate?: number | undefined
  readonly channels?: number | undefined
}

export function reportOf(film: Film): FilmReport {
  const { key, info, durationSeconds, notPlayed, truncated, indexBytes } = film
  const tracks = tracksOf(film)
  return {
    key,
    plays: sentenceOf(film, tracks),
    sizeBytes: info.size,
    etag: info.etag,
    durationSeconds,
    tracks,
    notPlayed,
    truncated,
    segments: film.plan.starts.length - 1,
    bandwidth: Math.max(0, ...film.renditions.map((rendition) => rendition.bandwidth)),
    indexBytes,
  }
}

function sentenceOf({ notPlayed, truncated }: Film, tracks: readonly TrackReport[]): string {
  const played = tracks.map(({ kind, codec }) => `${kind} (${codec})`).join(', ')
  const left = notPlayed.length > 0 ? '; without what notPlayed lists' : ''
  return `${played}, as it is, without transcoding${left}${truncated ? '; up to where the file was cut' : ''}`
}

function tracksOf(film: Film): readonly TrackReport[] {
  return film.renditions.flatMap(({ parts }) =>
    parts.map(({ track: { tracks, first, end } }): TrackReport => {
      const [track] = tracks
      const { kind, codec, codecString, language } = track
      const base = { kind, codec, codecString, language, samples: end - first }
      return track.kind === 'video'
        ? { ...base, width: track.width, height: track.height, rotation: track.rotation }
        : { ...base, sampleRate: track.sampleRate, channels: track.channels }
    }),
  )
}
