import { NearcastError } from '../lib/errors.ts'
import { compareKeys } from './object-key.ts'
import type { ListOptions, ObjectInfo, ObjectList } from './object-store.ts'

const LIMIT_MAX = 1000

/** The name a listing starts behind, from its cursor; throws `bad-request` for a cursor that no listing gave. */
export function readCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined
  const name = Buffer.from(cursor, 'base64url').toString()
  if (name === '' || writeCursor(name) !== cursor)
    throw new NearcastError('bad-request', `${JSON.stringify(cursor)} is no cursor of a listing`)
  return name
}

/** 1 to 1000, as S3 has it. */
export function listLimit(limit: number | undefined): number {
  return Math.min(Math.max(Math.trunc(limit ?? LIMIT_MAX) || 1, 1), LIMIT_MAX)
}

/**
 * One page of `keys`, which come in the order of S3. A key that ends in the delimiter may stand for all that begins with it.
 * `describe` gives undefined for what went away meanwhile.
 */
export async function listPage(
  keys: AsyncIterable<string> | Iterable<string>,
  prefix: string,
  options: ListOptions,
  describe: (key: string) => Promise<ObjectInfo | undefined> | ObjectInfo | undefined,
): Promise<ObjectList> {
  const limit = listLimit(options.limit)
  const after = readCursor(options.cursor)
  const objects: ObjectInfo[] = []
  const prefixes: string[] = []
  let last: string | undefined
  for await (const key of keys) {
    options.signal.throwIfAborted()
    if (!key.startsWith(prefix)) continue
    const group = groupOf(key, prefix, options.delimiter)
    const name = group ?? key
    if (name === last || (after !== undefined && compareKeys(name, after) <= 0)) continue
    const info = group === undefined ? await describe(key) : undefined
    if (group === undefined && !info) continue
    if (objects.length + prefixes.length === limit)
      return { objects, prefixes, cursor: last === undefined ? undefined : writeCursor(last) }
    if (group !== undefined) prefixes.push(group)
    if (info) objects.push(info)
    last = name
  }
  return { objects, prefixes }
}

function writeCursor(name: string): string {
  return Buffer.from(name).toString('base64url')
}

function groupOf(key: string, prefix: string, delimiter: string | undefined): string | undefined {
  if (!delimiter) return undefined
  const at = key.indexOf(delimiter, prefix.length)
  return at < 0 ? undefined : key.slice(0, at + delimiter.length)
}
