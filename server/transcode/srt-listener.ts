import { FfmpegPublisher, type FfmpegPublisherDeps, type FfmpegSource } from './ffmpeg-publisher.ts'

export interface SrtStream {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly passphrase?: string | undefined
}

/** `listening`: no caller is there; `backing-off`: the listener failed, and is started again. */
export interface SrtReport {
  readonly kind: 'srt'
  readonly name: string
  readonly port: number
  readonly state: 'listening' | 'live' | 'backing-off'
  /** Milliseconds since 1970. */
  readonly since: number
  /** Why the last caller, or the listener, went. */
  readonly trouble: string | undefined
}

export interface SrtListener {
  report(): SrtReport
  close(): void
}

const RETRY_MIN_MS = 500
const RETRY_MAX_MS = 30_000
/** A listener that stood for so long failed for a reason of its caller's. */
const STOOD_MS = 5000

/** A port that one SRT caller at a time publishes on, MPEG-TS inside: ffmpeg's listener, begun anew after each caller. */
export function openSrtListener(stream: SrtStream, deps: FfmpegPublisherDeps): SrtListener {
  const { clock, log } = deps
  let state: SrtReport['state'] = 'listening'
  let since = clock.now()
  let trouble: string | undefined
  let failures = 0
  let closed = false
  let retry: Disposable | undefined
  let publisher: FfmpegPublisher | undefined

  const become = (next: SrtReport['state'], reason?: string) => {
    const level = next === 'backing-off' && failures === 1 ? 'warn' : 'info'
    log[level]('srt', { stream: stream.name, port: stream.port, from: state, to: next, reason })
    state = next
    since = clock.now()
  }
  const listen = () => {
    if (closed) return
    if (state !== 'listening') become('listening')
    const startedAt = clock.monotonic()
    publisher = new FfmpegPublisher(sourceOf(stream), deps, {
      onLive: () => {
        failures = 0
        trouble = undefined
        become('live')
      },
      onOver: (reason) => {
        publisher = undefined
        if (closed) return
        trouble = reason
        const served = state === 'live' || clock.monotonic() - startedAt >= STOOD_MS
        failures = served ? 0 : failures + 1
        if (!served) become('backing-off', reason)
        const ms = served ? 0 : Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (failures - 1))
        retry = clock.after(ms, listen)
      },
    })
  }
  listen()
  return {
    report: () => ({
      kind: 'srt',
      name: stream.name,
      port: stream.port,
      state,
      since,
      trouble,
    }),
    close: () => {
      closed = true
      retry?.[Symbol.dispose]()
      publisher?.stop('the server stops')
    },
  }
}

function sourceOf({ name, host, port, passphrase }: SrtStream): FfmpegSource {
  const address = host.includes(':') ? `[${host}]` : host
  const secret = passphrase === undefined ? '' : `&passphrase=${encodeURIComponent(passphrase)}`
  return {
    name,
    description: `srt port ${port}`,
    url: `srt://${address}:${port}?mode=listener${secret}`,
    protocols: ['srt', 'udp'],
    // A caller may send anything: no playlist of other addresses.
    formats: ['mpegts'],
    // A second is enough to know the tracks of a transport stream; what came meanwhile is not lost.
    options: { analyzeduration: '1000000' },
    inputOptions: ['-analyzeduration 1000000'],
    secrets: passphrase === undefined ? [] : [passphrase, encodeURIComponent(passphrase)],
  }
}
