import type { ChangeStamp, ObjectFacts, StoredFields } from '../stored-object.ts'

/** Where the bytes of a resting answer are. */
export type RestingBytes =
  /** In the record itself. */
  | { readonly kind: 'whole'; readonly etag: string | undefined }
  /** In slices of this name; `id` when the generation is shared under it. */
  | {
      readonly kind: 'slices'
      readonly name: string
      readonly id: string | undefined
      readonly etag: string
      readonly size: number
    }

/** What an answer's record says besides its key and bytes. */
export interface AnswerMeta {
  readonly facts: ObjectFacts
  /** The process that wrote it: only in that one its stamp's `localSeq` means something. */
  readonly run: string
  readonly bytes: RestingBytes
}

const FIELDS_MAX = 1000

/** JSON text. Failures are not kept. */
export function writeAnswerMeta({ facts, run, bytes }: AnswerMeta): string {
  return JSON.stringify({ facts: { ...facts, failure: undefined }, run, bytes })
}

/** undefined when the text is not what `writeAnswerMeta` writes. */
export function readAnswerMeta(text: string): AnswerMeta | undefined {
  const value = parse(text)
  if (!isRecord(value)) return undefined
  const facts = readFacts(value['facts'])
  const bytes = readBytes(value['bytes'])
  const { run } = value
  return facts && bytes && typeof run === 'string' ? { facts, run, bytes } : undefined
}

/** Lower-case names of fields that choose among a key's answers. */
export function readVaryMeta(text: string): readonly string[] | undefined {
  const value = parse(text)
  return isTexts(value) ? value : undefined
}

/** When all older answers of a path ceased to count: milliseconds since 1970. */
export function readPathMeta(text: string): number | undefined {
  const value = parse(text)
  return typeof value === 'number' ? value : undefined
}

function readFacts(value: unknown): ObjectFacts | undefined {
  if (!isRecord(value)) return undefined
  const { distribution, path, method, status, requestTime, responseTime, authorized, flat } = value
  const responseFields = readFields(value['responseFields'])
  const stamp = readStamp(value['stamp'])
  if (!responseFields || !stamp || !isTexts(flat) || flat.length % 2 !== 0) return undefined
  if (typeof distribution !== 'string' || typeof path !== 'string') return undefined
  if (typeof method !== 'string' || typeof authorized !== 'boolean') return undefined
  if (!isCount(status) || status < 200 || status > 599) return undefined
  if (typeof requestTime !== 'number' || typeof responseTime !== 'number') return undefined
  const { tags } = value
  if (tags !== undefined && !isTexts(tags)) return undefined
  // Written out: a spread in front of other properties costs 10 µs in Node 20, and a hidden class for each object.
  const facts = {
    distribution,
    path,
    method,
    status,
    responseFields,
    requestTime,
    responseTime,
    authorized,
    flat,
    stamp,
  }
  return tags ? { tags, ...facts } : facts
}

function readFields(value: unknown): StoredFields | undefined {
  if (!isRecord(value)) return undefined
  const entries = Object.entries(value)
  if (entries.length > FIELDS_MAX) return undefined
  const fields: Record<string, string | readonly string[]> = {}
  for (const [name, field] of entries) {
    if (typeof field !== 'string' && !isTexts(field)) return undefined
    // A name like `__proto__` is data too.
    Object.defineProperty(fields, name, {
      value: field,
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  return fields
}

function readStamp(value: unknown): ChangeStamp | undefined {
  if (!isRecord(value)) return undefined
  const { epoch, seq, localSeq } = value
  if (typeof epoch !== 'string' || !isCount(seq) || !isCount(localSeq)) return undefined
  return { epoch, seq, localSeq }
}

function readBytes(value: unknown): RestingBytes | undefined {
  if (!isRecord(value)) return undefined
  const { kind, name, id, etag, size } = value
  if (kind === 'whole')
    return etag === undefined || typeof etag === 'string' ? { kind, etag } : undefined
  if (kind !== 'slices' || typeof name !== 'string' || typeof etag !== 'string') return undefined
  if (!isCount(size) || (id !== undefined && typeof id !== 'string')) return undefined
  return { kind, name, id, etag, size }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isTexts(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.length <= FIELDS_MAX * 2 &&
    value.every((one) => typeof one === 'string')
  )
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
