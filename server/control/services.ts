/** A track as the operator sees it. */
export interface TrackReport {
  readonly kind: 'video' | 'audio'
  readonly codecString: string
  readonly width?: number | undefined
  readonly height?: number | undefined
  readonly sampleRate?: number | undefined
  readonly channels?: number | undefined
}

/** How a publisher's frames arrive, and what would make it better. All but the advice is measured and may be unknown. */
export interface StreamHealthReport {
  /** `good`: no advice; `fair`: hints; `poor`: viewers see or hear it. */
  readonly condition: 'good' | 'fair' | 'poor'
  readonly advice: readonly {
    readonly code: string
    readonly weight: 'problem' | 'hint'
    readonly sentence: string
  }[]
  readonly bitsPerSecond?: number | undefined
  readonly framesPerSecond?: number | undefined
  readonly keyIntervalSeconds?: number | undefined
  readonly bFrames?: boolean | undefined
  readonly driftMs?: number | undefined
  readonly gaps: number
  readonly missingFrames: number
  readonly jitterMs?: number | undefined
  readonly lagMs?: number | undefined
}

/** A live stream as the operator sees it; what is not measured is left out. */
export interface StreamReport {
  readonly name: string
  /**
   * `live`: a publisher sends; `slate`: it is gone or silent, and viewers see a slate; `waiting`: it may come back; `ended`: it
   * did not, and the last viewers play to the end.
   */
  readonly state: 'live' | 'slate' | 'waiting' | 'ended'
  /** Milliseconds since 1970: of the publish, or of the stream where nobody publishes. */
  readonly startedAt: number
  /** Protocol and remote address; undefined when nobody publishes. */
  readonly publisher?: string | undefined
  /** It came with a backup key: the other one is gone or silent. */
  readonly onBackup?: boolean | undefined
  /** Who is connected with the other kind of key, and not shown. */
  readonly standingBy?: string | undefined
  readonly tracks: readonly TrackReport[]
  readonly bitsPerSecond?: number | undefined
  readonly framesPerSecond?: number | undefined
  /** Seconds between key frames. */
  readonly keyIntervalSeconds?: number | undefined
  /** About: players of HLS are counted by how often they ask. */
  readonly viewers?: number | undefined
  readonly segments?: number | undefined
  readonly parts?: number | undefined
  /** While a publisher is on air. */
  readonly health?: StreamHealthReport | undefined
  readonly ladder?: LadderState | undefined
}

/** The smaller renditions of a stream: how they are doing, and why there are not more. */
export interface LadderState {
  readonly state: 'starting' | 'on' | 'reduced' | 'off'
  readonly reason?: string | undefined
  readonly encoder?: string | undefined
  readonly rungs: readonly {
    readonly id: string
    readonly width: number
    readonly height: number
    readonly bitsPerSecond: number
    /** From a picture's coming to its leaving the encoder. */
    readonly delayMs?: number | undefined
  }[]
  readonly restarts: number
}

/** Totals since the start. */
export interface TrafficReport {
  readonly requests: number
  readonly hits: number
  readonly misses: number
  readonly errors: number
  readonly bytes: number
}

export interface EdgeReport {
  readonly id: string
  readonly url?: string | undefined
  /** Position of the change log it has applied; undefined when it has not said. */
  readonly seq?: number | undefined
  readonly self: boolean
}

export interface HealthReport {
  /** `starting` and `draining` are not ready. */
  readonly status: 'starting' | 'ready' | 'draining'
  readonly role: string
  /** Addresses by listener: `http`, `https`, `rtmp`, `control`, `origin`. */
  readonly listeners: Readonly<Record<string, string>>
  /** What works less than it could, one sentence each: ffmpeg missing, parent lost. */
  readonly warnings: readonly string[]
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** Processes that answer viewers, where this one has such. */
  readonly workers?: {
    readonly wanted: number
    readonly serving: number
    readonly restarts: number
  }
}

/** Milliseconds since 1970, or seconds before the live edge. */
export type ClipMoment = { readonly at: number } | { readonly secondsBack: number }

/** Recordings of live streams, and clips of them. */
export interface RecordingServices {
  /** The newest first. */
  list(): {
    readonly recordings: readonly RecordingReport[]
    readonly clips: readonly RecordingReport[]
  }
  /** Throws `not-found`, and `conflict` for what is still being written. */
  remove(key: string): Promise<void>
  /** Throws `not-found` and `bad-request` with what there is. */
  clip(request: {
    readonly stream: string
    readonly recording?: string | undefined
    readonly from: ClipMoment
    readonly to: ClipMoment
  }): Promise<RecordingReport>
}

/** What the routes read of a recording; all else it says of itself goes out as it is. */
export interface RecordingReport {
  readonly stream: string
  readonly key: string
}

/** Other RTMP services that streams are sent on to. */
export interface PushServices {
  list(stream: string): readonly object[]
  /** Throws `bad-request`, `conflict` and `limit-exceeded`. */
  add(stream: string, address: { readonly url: string; readonly key: string }): Promise<object>
  /** Throws `not-found`. */
  remove(stream: string, id: string): Promise<void>
}

/** What the API asks of the rest of the server; `main.ts` passes it in. */
export interface ControlServices {
  health(): HealthReport
  streams(): readonly StreamReport[]
  /** Ends a publisher's session; false when nobody publishes this name. */
  cutStream(name: string): boolean
  /** Ends those who publish this name with a key that was revoked. */
  cutRevoked(name: string): void
  /** RTMP connections. */
  sessions(): readonly object[]
  traffic(): TrafficReport
  /** State of the cache, plain values. */
  cache(): object
  edges(): readonly EdgeReport[]
  /** What an invalidation of these would take at this edge, with up to so many example paths. */
  previewInvalidation(
    names: { readonly distribution: string; readonly paths: readonly string[] },
    options: { readonly examples: number; readonly signal: AbortSignal },
  ): Promise<{
    readonly objects: number
    readonly bytes: number
    readonly examples: readonly string[]
  }>
  /** The configuration in force, without secrets. */
  config(): object
  /** What a stored file is and how it will be played. Throws as reading it would. */
  probe(key: string, signal: AbortSignal): Promise<object>
  /** What is published here by ffmpeg; undefined in an edge. */
  readonly inputs?: (() => readonly object[]) | undefined
  /** undefined where nobody publishes: in an edge. */
  readonly pushes?: PushServices | undefined
  /** undefined where nothing is recorded: in an edge. */
  readonly recordings?: RecordingServices | undefined
  /** Why the edge answers a URL as it does: distribution, behavior, key, freshness, each step. */
  explain(url: string, signal: AbortSignal): Promise<object>
}
