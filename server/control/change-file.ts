import { constants, copyFile, type FileHandle, mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Change } from '../distribution/change.ts'
import { readChange } from '../distribution/read-change.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'

/** First line of the file. */
export interface ChangeFileHeader {
  readonly epoch: string
  readonly floor: number
  /** Number of the newest change when the file was written: the changes themselves may have folded away. */
  readonly seq: number
}

/** The change log's NDJSON file. Calls come one after the other; the owner closes it. */
export interface ChangeFile {
  /** Resolves when the line is on the disk; throws `change-not-saved` and leaves the file as it was. */
  append(change: Change): Promise<void>
  /** Writes the file anew, all or nothing. */
  replace(header: ChangeFileHeader, changes: readonly Change[]): Promise<void>
  close(): Promise<void>
}

export interface OpenedChangeFile {
  readonly file: ChangeFile
  /** undefined: a new file, or one that lost a line; a new epoch must be written. */
  readonly epoch: string | undefined
  readonly floor: number
  readonly seq: number
  readonly changes: readonly Change[]
}

const PRIVATE = 0o600
// Compaction keeps it far below; more is not ours.
const FILE_BYTES_MAX = 256 * 1024 * 1024
const LINES_AT_ONCE = 500

export async function openChangeFile(
  path: string,
  clock: Clock,
  log: Log,
): Promise<OpenedChangeFile> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const handle = await open(path, 'a+', PRIVATE)
  try {
    const { size } = await handle.stat()
    if (size > FILE_BYTES_MAX)
      throw new NearcastError('config-invalid', `${path} is too large to be a change log`)
    const read = readChangeLines(await readWhole(handle, size))
    const damaged = read.damaged > 0 || (size > 0 && read.header === undefined)
    if (damaged) {
      const copy = `${path}.damaged-${clock.now()}`
      await copyFile(path, copy)
      log.warn('change log was damaged; what could be read is kept, edges start over', {
        file: path,
        copy,
        lines: read.damaged,
      })
    }
    if (read.whole < size) {
      log.warn('change log ended in a torn line, which was dropped', { file: path })
      await handle.truncate(read.whole)
    }
    return {
      file: new AppendedFile(path, handle, read.whole),
      epoch: damaged ? undefined : read.header?.epoch,
      // All that was stored under the former epoch is old anyway, and its floor may lie above what is left.
      floor: damaged ? 0 : (read.header?.floor ?? 0),
      seq: Math.max(read.header?.seq ?? 0, read.changes.at(-1)?.seq ?? 0),
      changes: read.changes,
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** The lines of a change log. `whole` is how many bytes belong to lines that have their end. */
export function readChangeLines(bytes: Buffer): {
  readonly header: ChangeFileHeader | undefined
  readonly changes: readonly Change[]
  readonly damaged: number
  readonly whole: number
} {
  let header: ChangeFileHeader | undefined
  const changes: Change[] = []
  let damaged = 0
  let start = 0
  for (;;) {
    const end = bytes.indexOf(0x0a, start)
    if (end === -1) break
    const value = parseLine(bytes.toString('utf8', start, end))
    const first = start === 0
    start = end + 1
    if (first) {
      header = readHeader(value)
      if (header) continue
    }
    const change = readChange(value)
    if (change && change.seq > (changes.at(-1)?.seq ?? 0)) changes.push(change)
    else damaged += 1
  }
  return { header, changes, damaged, whole: start }
}

class AppendedFile implements ChangeFile {
  readonly #path: string
  #handle: FileHandle
  #size: number

  constructor(path: string, handle: FileHandle, size: number) {
    this.#path = path
    this.#handle = handle
    this.#size = size
  }

  async append(change: Change): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(change)}\n`)
    try {
      await this.#handle.appendFile(line)
      await this.#handle.datasync()
      this.#size += line.length
    } catch (error) {
      // Half a line in the middle would cost the epoch at the next start.
      await this.#handle.truncate(this.#size).catch(() => {})
      throw new NearcastError('change-not-saved', `${this.#path}: ${describeError(error)}`, {
        cause: error,
      })
    }
  }

  async replace(header: ChangeFileHeader, changes: readonly Change[]): Promise<void> {
    const temporary = `${this.#path}.new`
    const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants
    const handle = await open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, PRIVATE)
    try {
      for (const lines of linesOf(header, changes)) await handle.appendFile(lines)
      await handle.sync()
      await rename(temporary, this.#path)
    } catch (error) {
      await handle.close()
      throw error
    }
    const former = this.#handle
    this.#handle = handle
    this.#size = (await handle.stat()).size
    await former.close()
    await syncFolder(dirname(this.#path))
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** The text of a file in pieces, so that a long log holds nobody up while it is written. */
function* linesOf(header: ChangeFileHeader, changes: readonly Change[]): Generator<string> {
  yield `${JSON.stringify(header)}\n`
  for (let i = 0; i < changes.length; i += LINES_AT_ONCE)
    yield changes
      .slice(i, i + LINES_AT_ONCE)
      .map((line) => `${JSON.stringify(line)}\n`)
      .join('')
}

// A rename that is not on the disk would bring the former file back, and lose what was appended to this one.
async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, constants.O_RDONLY)
  await handle.sync()
}

async function readWhole(handle: FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.alloc(size)
  let length = 0
  while (length < size) {
    const { bytesRead } = await handle.read(bytes, length, size - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return bytes.subarray(0, length)
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function readHeader(value: unknown): ChangeFileHeader | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (!('epoch' in value && 'floor' in value && 'seq' in value)) return undefined
  const { epoch, floor, seq } = value
  if (typeof epoch !== 'string' || !/^[a-z0-9]{1,64}$/.test(epoch)) return undefined
  if (!Number.isSafeInteger(floor) || !Number.isSafeInteger(seq)) return undefined
  return { epoch, floor: Number(floor), seq: Number(seq) }
}
