/** What the API answers, as far as the console looks at it. */
export interface Overview {
  readonly at: number
  readonly health: {
    readonly status: 'starting' | 'ready' | 'draining'
    readonly role: string
    readonly version: string
    readonly uptimeSeconds: number
    readonly listeners: Readonly<Record<string, string>>
    readonly warnings: readonly string[]
  }
  readonly streams: readonly Stream[]
  readonly traffic: Traffic
  readonly cache: {
    readonly bytes?: number
    readonly memoryBytes?: number
    readonly objects?: number
  }
  readonly edges: readonly Edge[]
  readonly position: { readonly epoch: string; readonly seq: number }
}
export interface Stream {
  readonly name: string
  readonly state: 'live' | 'slate' | 'waiting' | 'ended'
  readonly startedAt: number
  readonly publisher?: string
  readonly onBackup?: boolean
  readonly standingBy?: string
  readonly tracks: readonly {
    readonly kind: 'video' | 'audio'
    readonly codecString: string
    readonly width?: number
    readonly height?: number
    readonly sampleRate?: number
    readonly channels?: number
  }[]
  readonly bitsPerSecond?: number
  readonly framesPerSecond?: number
  readonly keyIntervalSeconds?: number
  readonly viewers?: number
  /** While a publisher is on air. */
  readonly health?: Health
  readonly ladder?: {
    readonly state: 'starting' | 'on' | 'reduced' | 'off'
    readonly reason?: string
    readonly encoder?: string
    readonly rungs: readonly { readonly width: number; readonly height: number }[]
  }
}
export interface Health {
  readonly condition: 'good' | 'fair' | 'poor'
  readonly advice: readonly { readonly weight: 'problem' | 'hint'; readonly sentence: string }[]
  readonly lagMs?: number
  readonly jitterMs?: number
  readonly gaps: number
  readonly missingFrames: number
  readonly driftMs?: number
  readonly bFrames?: boolean
}
export interface Recording {
  readonly stream: string
  readonly id: string
  readonly key: string
  readonly state: 'recording' | 'finishing' | 'complete' | 'removing'
  /** Of a clip. */
  readonly of?: string
  readonly from: number
  readonly seconds: number
  readonly bytes: number
  readonly missingSegments: number
  readonly waitingBytes: number
  readonly storeFails: boolean
}
export interface Traffic {
  readonly requests: number
  readonly hits: number
  readonly misses: number
  readonly errors: number
  readonly bytes: number
}
export interface Edge {
  readonly id: string
  readonly url?: string
  readonly seq?: number
  readonly self: boolean
}
export interface Key {
  readonly id: string
  readonly name: string
  /** Its last characters behind dots. */
  readonly masked: string
  readonly backup: boolean
  readonly createdAt: number
  /** It was replaced, and holds no longer than this. */
  readonly until?: number
}
export interface NewKey {
  readonly name: string
  readonly key: string
  readonly backup: boolean
  /** Where it was made in place of another: how long that one still holds. */
  readonly formerUntil?: number
}
export interface Invalidation {
  readonly id: string
  readonly status: 'in-progress' | 'completed'
  readonly distribution: string
  readonly paths: readonly string[]
  readonly soft: boolean
  readonly createdAt: number
  readonly edges: readonly { readonly id: string; readonly state: string }[]
  /** Until then it can be undone, by the server's clock. */
  readonly undoableUntil?: number
  readonly undoneAt?: number
}
/** What an invalidation would take at this edge. */
export interface InvalidationPreview {
  readonly objects: number
  readonly bytes: number
  readonly examples: readonly string[]
}
export interface Distribution {
  readonly kind: 'web' | 'rtmp'
  readonly id: string
  readonly enabled: boolean
  readonly hosts: readonly string[]
  readonly behaviors?: readonly { readonly path: string; readonly origin: string }[]
  readonly apps?: readonly string[]
  readonly origin?: string
}

/** The API's refusal: its code and sentence. */
export class ApiError extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

const TOKEN_NAME = 'nearcast-token'

/** The token lives as long as the tab; one given behind the address (`#token=`) is taken out of it at once. */
export function readToken(): string | undefined {
  const given = new URLSearchParams(location.hash.slice(1)).get('token')
  if (given !== null) {
    sessionStorage.setItem(TOKEN_NAME, given)
    history.replaceState(null, '', location.pathname)
  }
  return sessionStorage.getItem(TOKEN_NAME) ?? undefined
}

export function keepToken(token: string): void {
  sessionStorage.setItem(TOKEN_NAME, token)
}

export function forgetToken(): void {
  sessionStorage.removeItem(TOKEN_NAME)
}

/** A server that takes longer than this does not answer. */
const ANSWER_MS = 10_000

/** One call of `/api/v1`. Throws ApiError; its code is `unreachable` when nothing answers. */
export async function call<T>(method: string, path: string, body?: object): Promise<T> {
  const request = fetch(`/api/v1${path}`, {
    method,
    signal: AbortSignal.timeout(ANSWER_MS),
    headers: {
      authorization: `Bearer ${sessionStorage.getItem(TOKEN_NAME) ?? ''}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const read = async (response: Response) => ({ ok: response.ok, text: await response.text() })
  const { ok, text } = await request.then(read).catch(() => {
    throw new ApiError('unreachable', 'The server does not answer.')
  })
  // The server this page came from is the one that answers: its shapes are those of its version.
  const value = text === '' ? undefined : JSON.parse(text)
  if (!ok) throw new ApiError(value?.code ?? 'internal', value?.message ?? text)
  return value as T
}
