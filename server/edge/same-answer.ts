import type { StoredObject } from '../cache/stored-object.ts'
import { type EntityTag, parseEntityTag, weakMatch } from '../http/etag.ts'
import { fieldLine } from '../http/fields.ts'
import type { Fields, OriginMessage } from '../http/message.ts'

/**
 * Whether a 304 may update what is stored: its strong validator must be the stored one (RFC 9111 §4.3.4). Compared weakly, since servers
 * that compress on the way make strong tags weak in one of the two answers only.
 */
export function updatedBy304({ facts }: StoredObject, headers: Fields): boolean {
  const said = tagOf(headers)
  const stored = tagOf(facts.responseFields)
  return !said || said.weak || !stored || weakMatch(said, stored)
}

/**
 * What an answer to HEAD says of the stored answer to GET (RFC 9111 §4.3.5): each validator that it has, and its length, are compared.
 * `silent`: it has no validator.
 */
export function compareWithHead(
  { facts, generation }: StoredObject,
  { headers }: OriginMessage,
): 'same' | 'silent' | 'other' {
  const length = fieldLine(headers, 'content-length')
  const { size } = generation
  if (length !== undefined && size !== undefined && Number(length) !== size) return 'other'
  let found: 'same' | 'silent' = 'silent'
  for (const name of ['etag', 'last-modified']) {
    const said = fieldLine(headers, name)
    if (said === undefined) continue
    if (said !== fieldLine(facts.responseFields, name)) return 'other'
    found = 'same'
  }
  return found
}

function tagOf(fields: Fields): EntityTag | undefined {
  return parseEntityTag(fieldLine(fields, 'etag'))
}
