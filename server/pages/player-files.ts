import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { mediaTypeOf } from '../http/media-type.ts'

export type Encoding = 'br' | 'gzip' | 'identity'

/** A built file of the player, in memory, with its compressed forms. */
export interface PlayerFile {
  readonly type: string
  readonly bodies: Readonly<Partial<Record<Encoding, Uint8Array>>>
  /** Of the uncompressed bytes. */
  readonly hash: string
  /** The name carries a hash of its content, so it never changes. */
  readonly immutable: boolean
}

const SUFFIXES: Readonly<Record<'br' | 'gzip', string>> = { br: '.br', gzip: '.gz' }

/** Reads the built player once. Keys are addresses (`/player.js`); empty when nothing was built. */
export function readPlayerFiles(playerDir: string): ReadonlyMap<string, PlayerFile> {
  const files = new Map<string, PlayerFile>()
  if (!existsSync(playerDir)) return files
  for (const name of readdirSync(playerDir, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.js')) continue
    const path = `/${name.split(sep).join('/')}`
    files.set(path, readPlayerFile(join(playerDir, name)))
  }
  return files
}

/** The body to send for an Accept-Encoding field: the smallest that is accepted (RFC 9110 §12.5.3). */
export function chooseEncoding(file: PlayerFile, accepted: string | undefined): Encoding {
  for (const encoding of ['br', 'gzip'] as const)
    if (file.bodies[encoding] && accepts(accepted ?? '', encoding)) return encoding
  return 'identity'
}

function readPlayerFile(file: string): PlayerFile {
  const body = readFileSync(file)
  const bodies: Partial<Record<Encoding, Uint8Array>> = { identity: body }
  for (const encoding of ['br', 'gzip'] as const) {
    const compressed = file + SUFFIXES[encoding]
    if (existsSync(compressed)) bodies[encoding] = readFileSync(compressed)
  }
  return {
    type: mediaTypeOf(file),
    bodies,
    hash: createHash('sha256').update(body).digest('base64url').slice(0, 20),
    immutable: /\.[A-Za-z0-9_-]{8}\.js$/.test(file),
  }
}

function accepts(field: string, encoding: string): boolean {
  for (const member of field.split(',')) {
    const [name, ...params] = member.split(';').map((part) => part.trim().toLowerCase())
    if (name === encoding) return !params.some((param) => /^q=0(?:\.0*)?$/.test(param))
  }
  return false
}
