import type { Change } from './change.ts'
import type { Distribution } from './types.ts'

/** How a stream of changes begins, and begins again after each break. */
export interface ChangesHeader {
  /** Another epoch is another log: nothing known of the former one holds. */
  readonly epoch: string
  /** Newest change that followers are told of: the follower has caught up when it has seen it. */
  readonly seq: number
  /** Changes up to this number may be folded away: what was stored before it may be invalidated. */
  readonly floor: number
  /** The changes that follow come after this number. Less than was asked for: start over from `distributions`. */
  readonly after: number
  /** What the configuration file says; changes apply on top of it. */
  readonly distributions: readonly Distribution[]
}

/** The header of a stream of changes as another process wrote it; undefined when it is none. */
export function readChangesHeader(value: unknown): ChangesHeader | undefined {
  if (!isRecord(value)) return undefined
  const { epoch, seq, floor, after, distributions } = value
  if (typeof epoch !== 'string' || !/^[a-z0-9]{1,64}$/.test(epoch)) return undefined
  if (!isCount(seq) || !isCount(floor) || !isCount(after)) return undefined
  if (!Array.isArray(distributions)) return undefined
  if (!distributions.every(isDistribution)) return undefined
  return { epoch, seq, floor, after, distributions }
}

/** A change as another process or an older version wrote it; undefined when it is none. */
export function readChange(value: unknown): Change | undefined {
  if (!isRecord(value)) return undefined
  const { seq, at } = value
  if (!Number.isSafeInteger(seq) || Number(seq) < 1 || typeof at !== 'number') return undefined
  return hasBody(value) ? (value as unknown as Change) : undefined
}

function hasBody(value: Readonly<Record<string, unknown>>): boolean {
  switch (value['kind']) {
    case 'invalidation':
      return hasNames(value) && ['undefined', 'boolean'].includes(typeof value['soft'])
    case 'invalidation-undo':
      return hasNames(value) && isCount(value['of'])
    case 'stream-key':
      return (
        typeof value['name'] === 'string' &&
        typeof value['key'] === 'string' &&
        typeof value['revoked'] === 'boolean' &&
        ['undefined', 'boolean'].includes(typeof value['backup']) &&
        ['undefined', 'number'].includes(typeof value['until']) &&
        ['undefined', 'number'].includes(typeof value['createdAt'])
      )
    case 'distribution':
      return isDistribution(value['distribution']) && typeof value['removed'] === 'boolean'
    case 'origin':
      return (
        typeof value['id'] === 'string' &&
        isOriginOptions(value['options']) &&
        typeof value['removed'] === 'boolean'
      )
    default:
      // A newer server's kind: whoever folds it passes it over, so that what follows is not lost with it.
      return typeof value['kind'] === 'string'
  }
}

function hasNames(value: Readonly<Record<string, unknown>>): boolean {
  return (
    typeof value['id'] === 'string' &&
    typeof value['distribution'] === 'string' &&
    Array.isArray(value['paths']) &&
    value['paths'].every((path) => typeof path === 'string')
  )
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

// Who accepted it checked it with the schema; what a newer server adds is passed over. Here only what is used without a look.
function isDistribution(value: unknown): value is Distribution {
  if (!isRecord(value) || typeof value['id'] !== 'string' || !isTexts(value['hosts'])) return false
  const { kind, behaviors } = value
  return kind === 'web' ? Array.isArray(behaviors) && behaviors.every(isBehavior) : kind === 'rtmp'
}

function isBehavior(value: unknown): boolean {
  if (!isRecord(value)) return false
  const { path, origin, strip, ttl, key, errors } = value
  return (
    [path, origin, strip].every((text) => typeof text === 'string') &&
    isRecord(ttl) &&
    [ttl['min'], ttl['default'], ttl['max']].every((seconds) => typeof seconds === 'number') &&
    isRecord(key) &&
    [key['query'], key['headers'], key['cookies']].every(
      (names) => names === 'none' || names === 'all' || isTexts(names),
    ) &&
    isRecord(errors) &&
    Object.values(errors).every(isRecord)
  )
}

function isOriginOptions(value: unknown): boolean {
  if (!isRecord(value)) return false
  switch (value['kind']) {
    case 'file':
      return typeof value['root'] === 'string'
    case 's3':
      return typeof value['bucket'] === 'string' && typeof value['prefix'] === 'string'
    case 'http':
      return (
        typeof value['url'] === 'string' &&
        isRecord(value['headers']) &&
        isRecord(value['timeouts'])
      )
    case 'group':
      return isTexts(value['members']) && Array.isArray(value['failOn'])
    default:
      return typeof value['kind'] === 'string'
  }
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
