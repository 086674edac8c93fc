import { fieldLine } from '../http/fields.ts'
import type { Fields } from '../http/message.ts'

// CloudFront's: the first 50 of an object, visible ASCII without commas up to 256 characters, compared without case.
const TAGS_MAX = 50
const TAG = /^[!-+\--~]{1,256}$/
/** Fields that name an answer for invalidations, with what stands between the names. */
const FIELDS = [
  ['x-amz-meta-cache-tag', ','],
  ['cache-tag', ','],
  ['surrogate-key', ' '],
] as const
/** Longer values are not looked at whole: more tags than are kept fit into it. */
const VALUE_MAX = TAGS_MAX * 300

/** The tags an origin gave an answer, in lower case; undefined for none. What is no tag is passed over. */
export function tagsOf(fields: Fields): readonly string[] | undefined {
  let tags: Set<string> | undefined
  for (const [name, separator] of FIELDS) {
    const value = fields[name] === undefined ? undefined : fieldLine(fields, name)
    if (value === undefined) continue
    for (const one of value.slice(0, VALUE_MAX).split(separator)) {
      const tag = one.trim().toLowerCase()
      if (!TAG.test(tag)) continue
      tags ??= new Set()
      tags.add(tag)
      if (tags.size === TAGS_MAX) return [...tags]
    }
  }
  return tags && [...tags]
}
