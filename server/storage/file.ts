import { type BigIntStats, constants } from 'node:fs'
import {
  type FileHandle,
  mkdir,
  open,
  realpath,
  rename,
  rmdir,
  stat,
  unlink,
} from 'node:fs/promises'
import path from 'node:path'
import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'
import { readableToken, systemRandom } from '../lib/random.ts'
import { isFileKey, isInside, walkKeys } from './file-tree.ts'
import { listPage, readCursor } from './list-page.ts'
import { checkKey, isKey, shown } from './object-key.ts'
import type {
  ListOptions,
  ObjectInfo,
  ObjectList,
  ObjectRead,
  ObjectStore,
  ReadOptions,
  WriteOptions,
} from './object-store.ts'
import { pulledBody } from './pulled-body.ts'
import { checkRange, locateRange } from './read-range.ts'
import { writtenBody } from './written-body.ts'

const CHUNK_BYTES = 256 * 1024
// A pipe or a device would block the open; a link that was put there since the check fails.
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW

/**
 * A folder as an object store. A key never leads out of the root, not over links either; dot files are not there. `bucket-not-found`
 * when the folder is missing (a write makes it). An object replaced while it is read is read to its end as it was; one that
 * is changed in place gives `object-changed`, never a mix.
 */
export function openFileStore(root: string, _deps: { readonly clock: Clock }): ObjectStore {
  const folder = path.resolve(root)
  return {
    description: folder,
    stat: (key, signal) => statFile(folder, key, signal),
    read: (key, options) => readFile(folder, key, options),
    write: (key, body, options) => writeFile(folder, key, body, options),
    list: (prefix, options) => listFiles(folder, prefix, options),
    remove: (key, signal) => removeFile(folder, key, signal),
    close: async () => {},
  }
}

async function statFile(
  folder: string,
  key: string,
  signal: AbortSignal,
): Promise<ObjectInfo | undefined> {
  checkKey(key)
  signal.throwIfAborted()
  const real = await findFile(folder, key)
  if (real === undefined) return undefined
  const facts = await stat(real, { bigint: true }).catch((error) => missingOr(error, key))
  return facts?.isFile() ? infoOf(key, facts) : undefined
}

async function readFile(folder: string, key: string, options: ReadOptions): Promise<ObjectRead> {
  const { range, ifMatch, signal } = options
  checkKey(key)
  checkRange(range)
  signal.throwIfAborted()
  const real = await findFile(folder, key)
  const handle = real && (await open(real, READ_FLAGS).catch((error) => missingOr(error, key)))
  if (!handle) throw new NearcastError('object-not-found', `${shown(key)}: there is no such object`)
  try {
    const facts = await handle.stat({ bigint: true })
    if (!facts.isFile()) throw new NearcastError('object-not-found', `${shown(key)}: not a file`)
    const info = infoOf(key, facts)
    if (ifMatch !== undefined && ifMatch !== info.etag) throw changed(key, ifMatch, info.etag)
    const { start, length } = locateRange(key, range, info.size)
    signal.throwIfAborted()
    return { info, start, length, body: fileBody(handle, info, start, length, signal) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

function fileBody(
  handle: FileHandle,
  info: ObjectInfo,
  start: number,
  length: number,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  let at = start
  const end = start + length
  const pull = async () => {
    if (at >= end) return undefined
    return readChunk().catch((error) => {
      throw asStoreError(error, info.key)
    })
  }
  const readChunk = async () => {
    const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - at))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
    // Looked at behind each read: bytes go out only when nothing was written before they were read.
    const now = etagOf(await handle.stat({ bigint: true }))
    if (now !== info.etag) throw changed(info.key, info.etag, now)
    if (bytesRead === 0)
      throw new NearcastError('store-failed', `${shown(info.key)}: cut short at byte ${at}`)
    at += bytesRead
    return buffer.subarray(0, bytesRead)
  }
  return pulledBody({ pull, release: () => handle.close(), signal })
}

async function writeFile(
  folder: string,
  key: string,
  body: Uint8Array | AsyncIterable<Uint8Array>,
  options: WriteOptions,
): Promise<ObjectInfo> {
  checkKey(key)
  if (!isFileKey(key))
    throw new NearcastError('bad-request', `the key ${shown(key)} cannot be the name of a file`)
  options.signal.throwIfAborted()
  const target = path.join(folder, key)
  const temporary = path.join(path.dirname(target), `.nearcast-${readableToken(systemRandom, 16)}`)
  let handle: FileHandle | undefined
  try {
    const opened = await openNew(folder, temporary)
    handle = opened.handle
    for await (const chunk of writtenBody(key, body, options)) await writeAll(handle, chunk)
    // Before it has its name: else a crash of the machine may leave the name with no bytes, or some.
    await handle.sync()
    const info = infoOf(key, await handle.stat({ bigint: true }))
    await handle.close()
    options.signal.throwIfAborted()
    await rename(temporary, target)
    await syncFolders(path.dirname(target), opened.made)
    return info
  } catch (error) {
    await handle?.close().catch(() => {})
    if (handle) await unlink(temporary).catch(() => {})
    throw asStoreError(error, key)
  }
}

/** A folder is empty again and again where objects come and go one at a time. */
const OPEN_ATTEMPTS = 20

/** `made`: the uppermost folder that had to be made for it. */
async function openNew(
  folder: string,
  temporary: string,
): Promise<{ readonly handle: FileHandle; readonly made: string | undefined }> {
  const parent = path.dirname(temporary)
  let made: string | undefined
  for (let attempt = 1; ; attempt++) {
    try {
      made = (await mkdir(folder, { recursive: true })) ?? made
      // Looked at before and behind: mkdir itself follows a link.
      await checkInside(folder, parent)
      const more = await mkdir(parent, { recursive: true })
      made ??= more
      await checkInside(folder, parent)
      return { handle: await open(temporary, 'wx'), made }
    } catch (error) {
      // Between two of these a `remove` may take the empty folder away, or one above it.
      if (codeOf(error) !== 'ENOENT' || attempt === OPEN_ATTEMPTS) throw error
    }
  }
}

async function checkInside(folder: string, parent: string): Promise<void> {
  const root = await realpath(folder)
  for (let existing = parent; ; existing = path.dirname(existing)) {
    const real = await realpath(existing).catch((error) => missingOr(error, existing))
    if (real === undefined && existing !== folder) continue
    if (real !== undefined && isInside(root, real)) return
    throw new NearcastError('bad-request', `${existing} leads out of ${folder}`)
  }
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, at)
    at += bytesWritten
  }
}

/** Without it a crash of the machine may forget the new name, or those of the folders made for it from `made` on. */
async function syncFolders(parent: string, made: string | undefined): Promise<void> {
  const last = made === undefined ? parent : path.dirname(made)
  for (let folder = parent; ; folder = path.dirname(folder)) {
    await syncFolder(folder)
    if (folder === last || folder === path.dirname(folder)) return
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY).catch((error) => missingOr(error, folder))
  // Whoever removed the object since took the empty folder with it.
  if (!handle) return
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function listFiles(
  folder: string,
  prefix: string,
  options: ListOptions,
): Promise<ObjectList> {
  options.signal.throwIfAborted()
  const root = await realRoot(folder)
  const after = readCursor(options.cursor)
  const keys = walkKeys({ root, prefix, after, collapse: options.delimiter === '/' })
  // A deep folder's names can be longer together than a key.
  const describe = (key: string) => (isKey(key) ? statFile(folder, key, options.signal) : undefined)
  return listPage(keys, prefix, options, describe)
}

async function removeFile(folder: string, key: string, signal: AbortSignal): Promise<void> {
  checkKey(key)
  signal.throwIfAborted()
  if (!isFileKey(key)) return
  const target = path.join(folder, key)
  const root = await realRoot(folder)
  const parent = await realpath(path.dirname(target)).catch((error) => missingOr(error, key))
  if (parent === undefined || !isInside(root, parent)) return
  await unlink(path.join(parent, path.basename(target))).catch((error) =>
    // A folder is no object.
    codeOf(error) === 'EISDIR' ? undefined : missingOr(error, key),
  )
  for (let empty = parent; empty !== root; empty = path.dirname(empty))
    if (
      !(await rmdir(empty).then(
        () => true,
        () => false,
      ))
    )
      break
}

/** The real path of a key's file; undefined when there is none inside the root. */
async function findFile(folder: string, key: string): Promise<string | undefined> {
  const root = await realRoot(folder)
  if (!isFileKey(key)) return undefined
  const real = await realpath(path.join(root, key)).catch((error) => missingOr(error, key))
  if (real === undefined || !isInside(root, real)) return undefined
  // What a link inside leads to must be visible itself.
  return isFileKey(path.relative(root, real).split(path.sep).join('/')) ? real : undefined
}

/** Asked each time: a site is deployed by pointing the root, a link, to another folder. */
async function realRoot(folder: string): Promise<string> {
  const root = await realpath(folder).catch((error) => missingOr(error, folder))
  if (root === undefined)
    throw new NearcastError('bucket-not-found', `the folder ${folder} does not exist`)
  return root
}

/**
 * Strong enough: our own writes always make a new inode, another program's change the mtime. Only two edits in place within one
 * tick of the kernel's clock (10 ms at most) that leave the size as it was would look the same.
 */
function etagOf(facts: BigIntStats): string {
  return `${facts.size.toString(36)}-${facts.mtimeNs.toString(36)}-${facts.ino.toString(36)}`
}

function infoOf(key: string, facts: BigIntStats): ObjectInfo {
  const lastModified = Number(facts.mtimeMs)
  return { key, size: Number(facts.size), etag: etagOf(facts), lastModified }
}

function changed(key: string, expected: string, actual: string): NearcastError {
  return new NearcastError(
    'object-changed',
    `${shown(key)}: expected "${expected}", got "${actual}"`,
  )
}

function missingOr(error: unknown, key: string): undefined {
  if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ENXIO'].includes(codeOf(error)))
    return undefined
  throw asStoreError(error, key)
}

function asStoreError(error: unknown, key: string): unknown {
  const code = codeOf(error)
  switch (code) {
    case '':
      return error
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new NearcastError('store-denied', `${shown(key)}: the system says ${code}`)
    case 'EISDIR':
    case 'ENOTDIR':
    case 'EEXIST':
    case 'ENOTEMPTY':
      return new NearcastError('bad-request', `${shown(key)}: a file and a folder of one name`)
    default:
      return new NearcastError('store-failed', `${shown(key)}: the system says ${code}`, {
        cause: error,
      })
  }
}

/** The system's name of a failure; '' for what is none. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error) || error instanceof NearcastError) return ''
  return 'code' in error && 'syscall' in error ? String(error.code) : ''
}
