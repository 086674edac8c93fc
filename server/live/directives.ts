import type { Rendition } from './segment.ts'

/** `_HLS_skip`: nothing, old segments (YES), or date ranges that are known, too (v2). */
export type Skip = 'nothing' | 'segments' | 'date-ranges'

/** Delivery directives of a playlist request (rfc8216bis §6.2.5). */
export interface Directives {
  /** Hold the answer until this segment, or this part of it, is listed. */
  readonly blockUntil: { readonly sequence: number; readonly part: number | undefined } | undefined
  readonly skip: Skip
}

export type DirectivesResult =
  | { readonly kind: 'directives'; readonly directives: Directives }
  | { readonly kind: 'bad'; readonly reason: string }

/** Query parameters that change a playlist: they belong to a cache's key. */
export const DIRECTIVE_NAMES = ['_HLS_msn', '_HLS_part', '_HLS_skip'] as const

const NONE: Directives = { blockUntil: undefined, skip: 'nothing' }

/** Reads the `_HLS_` parameters of a raw query; others are not looked at. */
export function readDirectives(query: string): DirectivesResult {
  if (!query.includes('_HLS_')) return { kind: 'directives', directives: NONE }
  if (query.length > 4096) return { kind: 'bad', reason: 'the query is too long' }
  const values = new URLSearchParams(query)
  const sequence = readInteger(values.get('_HLS_msn'))
  const part = readInteger(values.get('_HLS_part'))
  if (sequence === 'bad' || part === 'bad')
    return { kind: 'bad', reason: '_HLS_msn and _HLS_part are whole numbers' }
  // §6.2.5.2: _HLS_part needs _HLS_msn.
  if (part !== undefined && sequence === undefined)
    return { kind: 'bad', reason: '_HLS_part without _HLS_msn' }
  const skip = values.get('_HLS_skip')
  return {
    kind: 'directives',
    directives: {
      blockUntil: sequence === undefined ? undefined : { sequence, part },
      skip: skip === 'v2' ? 'date-ranges' : skip === 'YES' ? 'segments' : 'nothing',
    },
  }
}

function readInteger(text: string | null): number | undefined | 'bad' {
  if (text === null) return undefined
  return /^\d{1,15}$/.test(text) ? Number(text) : 'bad'
}

/** The playlist holds what the directive waits for. A part past the last of its segment is the first of the next. */
export function isReached(
  rendition: Rendition,
  until: { readonly sequence: number; readonly part: number | undefined },
): boolean {
  const last = rendition.segments.at(-1)
  if (!last || until.sequence > last.sequence) return false
  if (until.sequence < last.sequence) {
    // The last segment has a part, or is closed: past the end of an older one means no more than that.
    return true
  }
  if (until.part === undefined) return !last.open
  return last.gap || last.parts.length > until.part
}

/**
 * §6.2.5.2: further ahead than two segments behind the last one, or than the Advance Part Limit behind the last part
 * (three seconds of parts, at least three): 400 at once.
 */
export function isTooFarAhead(
  rendition: Rendition,
  until: { readonly sequence: number; readonly part: number | undefined },
  partTargetSeconds: number,
): boolean {
  const last = rendition.segments.at(-1)
  if (!last) return until.sequence > 2
  const lastComplete = last.open ? last.sequence - 1 : last.sequence
  if (until.sequence > lastComplete + 2) return true
  if (until.part === undefined) return false
  const limit = partTargetSeconds < 1 ? 3 / partTargetSeconds : 3
  if (until.sequence === last.sequence && last.open)
    return until.part - (last.parts.length - 1) > limit
  return until.sequence > last.sequence && until.part + 1 > limit
}
