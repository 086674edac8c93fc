/** An entity tag; `opaque` is what stands between the quotes (RFC 9110 §8.8.3). */
export interface EntityTag {
  readonly weak: boolean
  readonly opaque: string
}

// etagc: visible characters but the double quote, and obs-text.
const ENTITY_TAG = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/

/** The field value of an entity tag; `opaque` holds no quotes. */
export function formatEntityTag(opaque: string, weak = false): string {
  return `${weak ? 'W/' : ''}"${opaque}"`
}

/** undefined when the value is not exactly one entity tag. */
export function parseEntityTag(value: string | undefined): EntityTag | undefined {
  const match = value === undefined ? null : ENTITY_TAG.exec(value.trim())
  return match ? { weak: match[1] !== undefined, opaque: match[2] ?? '' } : undefined
}

/** RFC 9110 §8.8.3.2: the same bytes. */
export function strongMatch(a: EntityTag, b: EntityTag): boolean {
  return !a.weak && !b.weak && a.opaque === b.opaque
}

/** RFC 9110 §8.8.3.2: good enough in place of each other. */
export function weakMatch(a: EntityTag, b: EntityTag): boolean {
  return a.opaque === b.opaque
}
