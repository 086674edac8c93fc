import type { Change } from './change.ts'

/** A change as another process or an older version wrote it; undefined when it is none. */
export function readChange(value: unknown): Change | undefined {
  if (!isRecord(value)) return undefined
  const { seq, at } = value
  if (!Number.isSafeInteger(seq) || Number(seq) < 1 || typeof at !== 'number') return undefined
  // The distributions and origins inside were checked by the schema when they were accepted.
  return hasBody(value) ? (value as unknown as Change) : undefined
}

function hasBody(value: Readonly<Record<string, unknown>>): boolean {
  switch (value['kind']) {
    case 'invalidation':
      return (
        typeof value['id'] === 'string' &&
        typeof value['distribution'] === 'string' &&
        Array.isArray(value['paths']) &&
        value['paths'].every((path) => typeof path === 'string')
      )
    case 'stream-key':
      return (
        typeof value['name'] === 'string' &&
        typeof value['key'] === 'string' &&
        typeof value['revoked'] === 'boolean'
      )
    case 'distribution':
      return (
        isRecord(value['distribution']) &&
        typeof value['distribution']['id'] === 'string' &&
        typeof value['removed'] === 'boolean'
      )
    case 'origin':
      return (
        typeof value['id'] === 'string' &&
        isRecord(value['options']) &&
        typeof value['removed'] === 'boolean'
      )
    default:
      return false
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
