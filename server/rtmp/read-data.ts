import { type AmfObject, type AmfValue, readAmf0 } from '../formats/flv/amf0.ts'
import type { RtmpMessage } from './messages.ts'
import { amf0Of } from './read-command.ts'

/** What a publisher says about its stream: plain values only. */
export type RtmpMetadata = Readonly<Record<string, string | number | boolean>>

/** A data message of a publisher. */
export type RtmpData =
  | { readonly kind: 'metadata'; readonly metadata: RtmpMetadata }
  /** Something that happens at a time: `onTextData`, `onCuePoint`, or any other name. */
  | {
      readonly kind: 'timed'
      readonly name: string
      /** Plain values by where they were (`parameters.adId`); those without a name are `value`, `value.2`… */
      readonly values: readonly (readonly [path: string, value: string | number | boolean])[]
    }

const METADATA_ENTRIES_MAX = 64
const METADATA_CHARS_MAX = 256
const NAME_CHARS_MAX = 256
const VALUES_MAX = 64
const DEPTH_MAX = 4
const PATH_CHARS_MAX = 256

/** What is said to servers and players, and of no moment. */
const NO_EVENTS = new Set(['@clearDataFrame', '|RtmpSampleAccess', 'onStatus', 'onPlayStatus'])

/**
 * Reads a data message (type 18, or 15 with its leading zero); undefined for one without a name, or of no meaning here. What
 * there is more of than the bounds is left out. Throws `bad-request` or `limit-exceeded`.
 */
export function readData(message: RtmpMessage): RtmpData | undefined {
  const values = readAmf0(amf0Of(message))
  const [name, ...rest] = values[0] === '@setDataFrame' ? values.slice(1) : values
  if (name === 'onMetaData') return { kind: 'metadata', metadata: metadataOf(rest.find(isObject)) }
  if (typeof name !== 'string' || name === '' || name.length > NAME_CHARS_MAX) return undefined
  if (NO_EVENTS.has(name)) return undefined
  const found: [string, string | number | boolean][] = []
  let unnamed = 0
  for (const value of rest) {
    if (isObject(value)) flatten(value.entries(), '', 1, found)
    else if (value !== null && value !== undefined) {
      unnamed += 1
      addValue(unnamed === 1 ? 'value' : `value.${unnamed}`, value, 1, found)
    }
  }
  return { kind: 'timed', name, values: found }
}

function metadataOf(object: AmfObject | undefined): RtmpMetadata {
  const metadata = new Map<string, string | number | boolean>()
  for (const [name, value] of object ?? []) {
    if (metadata.size >= METADATA_ENTRIES_MAX) break
    if (name === '' || name === '__proto__' || name.length > METADATA_CHARS_MAX) continue
    if (typeof value === 'string' && value.length <= METADATA_CHARS_MAX) metadata.set(name, value)
    if (typeof value === 'boolean') metadata.set(name, value)
    if (typeof value === 'number' && Number.isFinite(value)) metadata.set(name, value)
  }
  return Object.fromEntries(metadata)
}

function flatten(
  entries: Iterable<readonly [string | number, AmfValue]>,
  path: string,
  depth: number,
  found: [string, string | number | boolean][],
): void {
  if (depth > DEPTH_MAX) return
  for (const [name, value] of entries) {
    if (found.length >= VALUES_MAX) return
    addValue(path === '' ? `${name}` : `${path}.${name}`, value, depth + 1, found)
  }
}

function addValue(
  path: string,
  value: AmfValue,
  depth: number,
  found: [string, string | number | boolean][],
): void {
  if (value === null || value === undefined || path.length > PATH_CHARS_MAX) return
  if (found.length >= VALUES_MAX) return
  if (isObject(value)) flatten(value.entries(), path, depth, found)
  else if (typeof value === 'object') flatten(value.entries(), path, depth, found)
  else if (typeof value !== 'number' || Number.isFinite(value)) found.push([path, value])
}

function isObject(value: AmfValue): value is AmfObject {
  return value instanceof Map
}
