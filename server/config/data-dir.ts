import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { NearcastError } from '../lib/errors.ts'
import { type Random, readableToken } from '../lib/random.ts'
import { readReady } from './find-ready.ts'

/** What this installation made up for itself at its first start. */
export interface Secrets {
  readonly adminToken: string
  /** Lets an edge on another machine talk to this one. */
  readonly edgeToken: string
  /** When a start that came to ready had printed them, in milliseconds since 1970; undefined: not yet. */
  readonly shownAt?: number
}

/** `DATA/ready.json`: where the running server is and how to get in (mode 600). */
export interface ReadyFile {
  readonly pid: number
  readonly http?: string
  readonly https?: string
  readonly rtmp?: string
  readonly rtmps?: string
  /** Where SRT callers publish, an address for each stream; a passphrase is not in it. */
  readonly srt?: readonly { readonly name: string; readonly url: string }[]
  readonly control?: string
  /** The face for remote edges. */
  readonly origin?: string
  readonly edgeToken?: string
  readonly streams: readonly { readonly name: string; readonly key: string }[]
  readonly adminToken: string
}

const PRIVATE = 0o600

/** Throws `config-invalid` when it cannot be made. */
export async function makeDataDir(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    const why = `the folder ${directory} cannot be made (${error.code})`
    throw new NearcastError('config-invalid', `data: ${why}; name another with --data`)
  })
}

/** The secrets in `directory`, made at the first start. */
export async function openSecrets(directory: string, random: Random): Promise<Secrets> {
  const file = join(directory, 'secrets.json')
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new NearcastError('config-invalid', `${file} cannot be read (${error.code})`)
  })
  if (text !== undefined) return parseSecrets(file, text)
  const secrets = {
    adminToken: readableToken(random, 32),
    edgeToken: readableToken(random, 32),
  }
  await writePrivate(file, secrets).catch((error: NodeJS.ErrnoException) => {
    throw new NearcastError('config-invalid', `data: ${file} cannot be written (${error.code})`)
  })
  return secrets
}

/** Writes down that the secrets were printed: later starts only say where they are. */
export async function markShown(directory: string, shownAt: number): Promise<void> {
  const file = join(directory, 'secrets.json')
  const secrets = parseSecrets(file, await readFile(file, 'utf8'))
  await writePrivate(file, { ...secrets, shownAt })
}

export function writeReady(directory: string, ready: ReadyFile): Promise<void> {
  return writePrivate(join(directory, 'ready.json'), ready)
}

/** Takes `ready.json` back unless another server has written its own since. */
export async function removeReady(directory: string): Promise<void> {
  if (readReady(directory)?.pid !== process.pid) return
  await rm(join(directory, 'ready.json'), { force: true })
}

async function writePrivate(file: string, value: unknown): Promise<void> {
  const temporary = `${file}.new`
  await writeFile(temporary, `${JSON.stringify(value, null, 2)}\n`, {
    mode: PRIVATE,
    flush: true,
  })
  await chmod(temporary, PRIVATE)
  await rename(temporary, file)
}

function parseSecrets(file: string, text: string): Secrets {
  try {
    const value: unknown = JSON.parse(text)
    if (
      typeof value === 'object' &&
      value !== null &&
      'adminToken' in value &&
      typeof value.adminToken === 'string' &&
      'edgeToken' in value &&
      typeof value.edgeToken === 'string'
    )
      return {
        adminToken: value.adminToken,
        edgeToken: value.edgeToken,
        ...('shownAt' in value && typeof value.shownAt === 'number' && { shownAt: value.shownAt }),
      }
  } catch {
    // Told below, with the way out.
  }
  throw new NearcastError(
    'config-invalid',
    `${file} is damaged; remove it and new tokens are made at the next start`,
  )
}
