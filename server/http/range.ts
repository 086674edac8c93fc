/** Inclusive byte positions inside a body of known size. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** A range as asked for, before the size is known. `end` undefined: to the last byte. */
export type RangeSpec =
  | { readonly kind: 'from'; readonly start: number; readonly end: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number }

export type RangeResult =
  | { readonly kind: 'none' }
  | { readonly kind: 'unsatisfiable' }
  | { readonly kind: 'ranges'; readonly ranges: readonly ByteRange[] }

// RFC 9110 §14.2 allows to ignore requests for many small ranges: a multipart answer costs more than the body.
const MAX_RANGES = 16
const MAX_FIELD_LENGTH = 1024
const NONE: RangeResult = { kind: 'none' }
const UNSATISFIABLE: RangeResult = { kind: 'unsatisfiable' }

/** The Range field as asked for (RFC 9110 §14.1.1); undefined when absent, malformed, of another unit or of too many parts. */
export function parseRangeSpecs(value: string | undefined): readonly RangeSpec[] | undefined {
  if (value === undefined || value.length > MAX_FIELD_LENGTH) return undefined
  if (value.slice(0, 6).toLowerCase() !== 'bytes=') return undefined
  const specs: RangeSpec[] = []
  for (const part of value.slice(6).split(',')) {
    const text = part.trim()
    // RFC 9110 §5.6.1.2: empty list elements are ignored.
    if (text === '') continue
    const spec = parseSpec(text)
    if (!spec || specs.length === MAX_RANGES) return undefined
    specs.push(spec)
  }
  return specs.length > 0 ? specs : undefined
}

/**
 * What a Range field means for a body of `size` bytes (RFC 9110 §14.2). `none`: answer 200 with everything, also for
 * descending and overlapping ranges, as CloudFront does; `unsatisfiable`: answer 416.
 */
export function parseRange(value: string | undefined, size: number): RangeResult {
  const specs = parseRangeSpecs(value)
  return specs ? resolveRanges(specs, size) : NONE
}

/** The same for fields that `parseRangeSpecs` has read already. */
export function resolveRanges(specs: readonly RangeSpec[], size: number): RangeResult {
  const ranges: ByteRange[] = []
  for (const spec of specs) {
    // RFC 9110 §14.1.2: any suffix but `-0` fits an empty body, and Content-Range cannot express that.
    if (size === 0 && spec.kind === 'suffix' && spec.length > 0) return NONE
    const range = resolveSpec(spec, size)
    if (!range) continue
    const previous = ranges.at(-1)
    if (previous && range.start <= previous.end) return NONE
    ranges.push(range)
  }
  return ranges.length > 0 ? { kind: 'ranges', ranges } : UNSATISFIABLE
}

/** Content-Range of a 206; `size` undefined when it is not known yet (RFC 9110 §14.4). */
export function formatContentRange(range: ByteRange, size: number | undefined): string {
  return `bytes ${range.start}-${range.end}/${size ?? '*'}`
}

/** Content-Range of a 416. */
export function formatUnsatisfiedRange(size: number): string {
  return `bytes */${size}`
}

/** Content-Range as an origin sent it with a 206; undefined when it cannot be trusted. */
export function parseContentRange(
  value: string | undefined,
): { readonly range: ByteRange; readonly size: number | undefined } | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(value?.trim() ?? '')
  if (!match) return undefined
  const start = Number(match[1])
  const end = Number(match[2])
  const size = match[3] === '*' ? undefined : Number(match[3])
  if (end < start || (size !== undefined && end >= size)) return undefined
  return { range: { start, end }, size }
}

function parseSpec(text: string): RangeSpec | undefined {
  const match = /^(\d*)-(\d*)$/.exec(text)
  const [first = '', last = ''] = match?.slice(1) ?? []
  if (first === '') return last === '' ? undefined : { kind: 'suffix', length: position(last) }
  const start = position(first)
  if (last === '') return { kind: 'from', start, end: undefined }
  const end = position(last)
  return end < start ? undefined : { kind: 'from', start, end }
}

function position(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER)
}

function resolveSpec(spec: RangeSpec, size: number): ByteRange | undefined {
  if (spec.kind === 'suffix') {
    if (spec.length === 0 || size === 0) return undefined
    return { start: Math.max(0, size - spec.length), end: size - 1 }
  }
  if (spec.start >= size) return undefined
  return { start: spec.start, end: Math.min(spec.end ?? size - 1, size - 1) }
}
