import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { compareKeys } from './object-key.ts'

/** Hidden: dot files (also what is being written), except `.well-known` of RFC 8615. */
export function isHiddenName(name: string): boolean {
  return name.startsWith('.') && name !== '.well-known'
}

/** Whether a folder can hold this key: no empty, hidden or overlong segment. */
export function isFileKey(key: string): boolean {
  return key
    .split('/')
    .every((name) => name !== '' && !isHiddenName(name) && Buffer.byteLength(name) <= 255)
}

export function isInside(root: string, file: string): boolean {
  return file === root || file.startsWith(root.endsWith(path.sep) ? root : root + path.sep)
}

export interface Walk {
  /** Real path of the store's root. */
  readonly root: string
  readonly prefix: string
  /** Names up to and with this one are not needed. */
  readonly after: string | undefined
  /** Give a folder behind the prefix as `name/` instead of what is in it. */
  readonly collapse: boolean
}

/** The keys of a folder in the order of S3. Links to files inside the root count as files; links to folders are not followed. */
export async function* walkKeys(walk: Walk): AsyncGenerator<string> {
  const slash = walk.prefix.lastIndexOf('/')
  const folder = slash < 0 ? '' : walk.prefix.slice(0, slash + 1)
  if (folder !== '' && (!isFileKey(folder.slice(0, -1)) || hasClimb(folder))) return
  yield* walkFolder(walk, folder)
}

async function* walkFolder(walk: Walk, folder: string): AsyncGenerator<string> {
  const { prefix, after } = walk
  for (const name of await namesOf(walk.root, folder)) {
    const key = folder + name
    if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue
    if (!name.endsWith('/')) {
      yield key
      continue
    }
    const passed = after !== undefined && compareKeys(key, after) <= 0 && !after.startsWith(key)
    if (passed) continue
    const collapses = walk.collapse && key.startsWith(prefix) && key.length > prefix.length
    if (!collapses) yield* walkFolder(walk, key)
    else if (await holdsKey(walk, key)) yield key
  }
}

/** As S3 has no empty folders, one without a single object is not there. */
async function holdsKey(walk: Walk, folder: string): Promise<boolean> {
  const below = { root: walk.root, prefix: folder, after: undefined, collapse: false }
  for await (const _ of walkFolder(below, folder)) return true
  return false
}

/** Names of files, and of folders with a slash behind, in the order their keys have. */
async function namesOf(root: string, folder: string): Promise<readonly string[]> {
  let entries: Dirent[]
  try {
    const real = await realpath(path.join(root, folder))
    if (!isInside(root, real)) return []
    entries = await readdir(real, { withFileTypes: true })
  } catch {
    return []
  }
  const names: string[] = []
  for (const entry of entries) {
    if (isHiddenName(entry.name)) continue
    if (entry.isDirectory()) names.push(`${entry.name}/`)
    else if (
      entry.isFile() ||
      (entry.isSymbolicLink() && (await isFileInside(root, folder, entry)))
    )
      names.push(entry.name)
  }
  return names.sort(compareKeys)
}

async function isFileInside(root: string, folder: string, entry: Dirent): Promise<boolean> {
  try {
    const real = await realpath(path.join(root, folder, entry.name))
    return isInside(root, real) && (await stat(real)).isFile()
  } catch {
    return false
  }
}

function hasClimb(folder: string): boolean {
  return folder.split('/').some((name) => name === '.' || name === '..')
}
