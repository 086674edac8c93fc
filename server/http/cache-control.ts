import { listMembers } from './fields.ts'

/** Cache-Control as typed directives; seconds where a number is meant. Unknown directives are ignored (RFC 9111 §5.2.3). */
export interface CacheControl {
  readonly maxAge: number | undefined
  readonly sMaxAge: number | undefined
  readonly staleWhileRevalidate: number | undefined
  readonly staleIfError: number | undefined
  readonly minFresh: number | undefined
  /** Infinity when no number was given. */
  readonly maxStale: number | undefined
  readonly noCache: boolean
  /** Fields of a qualified `no-cache="a, b"`: not to be reused without validation. Lower case. */
  readonly noCacheFields: readonly string[]
  readonly noStore: boolean
  readonly private: boolean
  /** Fields of a qualified `private="a"`: not to be stored by a shared cache. Lower case. */
  readonly privateFields: readonly string[]
  readonly public: boolean
  readonly mustRevalidate: boolean
  readonly proxyRevalidate: boolean
  readonly mustUnderstand: boolean
  readonly noTransform: boolean
  readonly immutable: boolean
  readonly onlyIfCached: boolean
}

/** RFC 9111 §1.2.2: more seconds than this are taken as this many. */
export const MAX_DELTA_SECONDS = 2 ** 31

const LONGEST = 8192
const DIRECTIVE = /^([!#$%&'*+.^_`|~0-9a-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s",]+)))?$/is
const NUMERIC = {
  'max-age': 'maxAge',
  's-maxage': 'sMaxAge',
  'stale-while-revalidate': 'staleWhileRevalidate',
  'stale-if-error': 'staleIfError',
  'min-fresh': 'minFresh',
} as const
const FLAGS = {
  'no-store': 'noStore',
  public: 'public',
  'must-revalidate': 'mustRevalidate',
  'proxy-revalidate': 'proxyRevalidate',
  'must-understand': 'mustUnderstand',
  'no-transform': 'noTransform',
  immutable: 'immutable',
  'only-if-cached': 'onlyIfCached',
} as const

type Mutable = { -readonly [K in keyof CacheControl]: CacheControl[K] }

const EMPTY: CacheControl = Object.freeze({
  maxAge: undefined,
  sMaxAge: undefined,
  staleWhileRevalidate: undefined,
  staleIfError: undefined,
  minFresh: undefined,
  maxStale: undefined,
  noCache: false,
  noCacheFields: [],
  noStore: false,
  private: false,
  privateFields: [],
  public: false,
  mustRevalidate: false,
  proxyRevalidate: false,
  mustUnderstand: false,
  noTransform: false,
  immutable: false,
  onlyIfCached: false,
})

/**
 * Reads a Cache-Control field (RFC 9111 §5.2). Of a directive given twice the first counts; a number that is none means
 * 0, that is stale (§4.2.1). A field too long to be meant is read as `no-store`.
 */
export function parseCacheControl(value: string | readonly string[] | undefined): CacheControl {
  const line = typeof value === 'string' || value === undefined ? value : value.join(', ')
  if (line === undefined || line === '') return EMPTY
  if (line.length > LONGEST) return { ...EMPTY, noStore: true }
  const result: Mutable = { ...EMPTY }
  for (const member of listMembers(line)) readDirective(result, member)
  return result
}

function readDirective(result: Mutable, member: string): void {
  const match = DIRECTIVE.exec(member)
  // `max-age =1` and `max-age=1 2` name a directive without saying a value.
  const name = (match?.[1] ?? /^[^\s=;]*/.exec(member)?.[0] ?? '').toLowerCase()
  const value = match?.[2]?.replaceAll(/\\(.)/gs, '$1') ?? match?.[3]
  if (isKeyOf(NUMERIC, name)) result[NUMERIC[name]] ??= deltaSeconds(value)
  else if (isKeyOf(FLAGS, name)) result[FLAGS[name]] = true
  else if (name === 'max-stale')
    result.maxStale ??= match && value === undefined ? Infinity : deltaSeconds(value)
  else if (name === 'no-cache') {
    const names = fieldNames(value)
    if (names.length === 0) result.noCache = true
    result.noCacheFields = [...result.noCacheFields, ...names]
  } else if (name === 'private') {
    const names = fieldNames(value)
    if (names.length === 0) result.private = true
    result.privateFields = [...result.privateFields, ...names]
  }
}

function deltaSeconds(value: string | undefined): number {
  if (value === undefined || !/^\d+$/.test(value)) return 0
  return Math.min(Number(value), MAX_DELTA_SECONDS)
}

// RFC 9111 §5.2.2.4: qualified by no name at all, it is meant for everything.
function fieldNames(value: string | undefined): readonly string[] {
  return listMembers(value).map((name) => name.toLowerCase())
}

function isKeyOf<T extends object>(table: T, name: string): name is keyof T & string {
  return Object.hasOwn(table, name)
}
