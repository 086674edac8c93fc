/** Why a source cannot be played, in words the page can show. */
export type FailureKind =
  | 'not-live'
  | 'not-found'
  | 'forbidden'
  | 'unsupported'
  | 'decode'
  | 'network'

export interface SourceFailure {
  readonly kind: FailureKind
  /** The server's code, or one of the player's own. */
  readonly code: string
  /** The server's sentence; '' when it gave none. */
  readonly message: string
}

export type Probe =
  | { readonly kind: 'ready' }
  | { readonly kind: 'ended' }
  | { readonly kind: 'failed'; readonly failure: SourceFailure }

const MESSAGE_LIMIT = 300

/**
 * Asks the server for `src` and says whether it can be played, or why not. For a playlist it looks one level deeper,
 * because an ended stream keeps its multivariant playlist (ENDLIST is in the media playlist, RFC 8216 §4.3.3.4).
 */
export async function probeSource(src: string, live: boolean, signal: AbortSignal): Promise<Probe> {
  try {
    const playlist = isPlaylist(src)
    const headers: HeadersInit = playlist ? {} : { range: 'bytes=0-0' }
    const response = await fetch(src, { signal, headers, cache: 'no-store' })
    if (!response.ok) return { kind: 'failed', failure: await readFailure(response, live) }
    if (!playlist) {
      await response.body?.cancel()
      return { kind: 'ready' }
    }
    const child = firstVariant(await response.text())
    if (child === undefined) return { kind: 'ready' }
    const media = await fetch(new URL(child, response.url), { signal, cache: 'no-store' })
    if (!media.ok) return { kind: 'failed', failure: await readFailure(media, live) }
    return { kind: (await media.text()).includes('#EXT-X-ENDLIST') ? 'ended' : 'ready' }
  } catch (error) {
    return { kind: 'failed', failure: networkFailure(error) }
  }
}

/** HLS by the name's end: `.m3u8`, before query and fragment. */
export function isPlaylist(src: string): boolean {
  return /\.m3u8(?:[?#]|$)/i.test(src)
}

/** The failure a status and the server's `{code, message}` stand for. */
export function failureOf(status: number, body: unknown, live: boolean): SourceFailure {
  const { code, message } = readBody(body)
  return { kind: kindOf(status, code, live), code: code || `http-${status}`, message }
}

export function networkFailure(error: unknown): SourceFailure {
  const message = error instanceof Error ? error.message : ''
  return { kind: 'network', code: 'unreachable', message: message.slice(0, MESSAGE_LIMIT) }
}

async function readFailure(response: Response, live: boolean): Promise<SourceFailure> {
  const text = (await response.text()).slice(0, 4096)
  try {
    const body: unknown = JSON.parse(text)
    return failureOf(response.status, body, live)
  } catch {
    return failureOf(response.status, undefined, live)
  }
}

function readBody(body: unknown): { code: string; message: string } {
  if (typeof body !== 'object' || body === null) return { code: '', message: '' }
  const code = 'code' in body && typeof body.code === 'string' ? body.code : ''
  const said = 'message' in body && typeof body.message === 'string' ? body.message : ''
  const message = code && said.startsWith(`${code}: `) ? said.slice(code.length + 2) : said
  return { code: code.slice(0, 60), message: message.slice(0, MESSAGE_LIMIT) }
}

function kindOf(status: number, code: string, live: boolean): FailureKind {
  if (code === 'stream-not-live') return 'not-live'
  if (code.startsWith('media-') || status === 415 || status === 422) return 'unsupported'
  if (status === 401 || status === 403) return 'forbidden'
  if (status === 404 || status === 410) return live ? 'not-live' : 'not-found'
  if (status >= 500 || status === 408 || status === 429) return 'network'
  return 'not-found'
}

function firstVariant(playlist: string): string | undefined {
  const lines = playlist.split(/\r?\n/)
  const at = lines.findIndex((line) => line.startsWith('#EXT-X-STREAM-INF'))
  if (at < 0) return undefined
  return lines.slice(at + 1).find((line) => line !== '' && !line.startsWith('#'))
}
