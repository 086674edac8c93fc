import { createHash } from 'node:crypto'
import { type Random, readableToken } from '../lib/random.ts'
import type { ChangeLog } from './change-log.ts'

/** A key in force. `id` names it without giving it away. */
export interface StreamKeyEntry {
  readonly id: string
  readonly name: string
  readonly key: string
  /** Its publisher stands by for one with another key of this name. */
  readonly backup: boolean
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

const KEY_LENGTH = 24

/** Makes a secret key for a stream name and writes it into the log. */
export async function createStreamKey(
  log: ChangeLog,
  random: Random,
  name: string,
  backup = false,
): Promise<StreamKeyEntry> {
  const key = readableToken(random, KEY_LENGTH)
  const { at } = await log.append({
    kind: 'stream-key',
    name,
    key,
    revoked: false,
    ...(backup && { backup }),
  })
  return { id: idOf(key), name, key, backup, createdAt: at }
}

/** The keys that are not revoked, oldest first. */
export function listStreamKeys(log: ChangeLog): readonly StreamKeyEntry[] {
  const keys = new Map<string, StreamKeyEntry>()
  for (const change of log.since(0) ?? []) {
    if (change.kind !== 'stream-key') continue
    const { name, key, backup = false, at } = change
    if (change.revoked) keys.delete(key)
    else keys.set(key, { id: idOf(key), name, key, backup, createdAt: at })
  }
  return [...keys.values()]
}

function idOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 12)
}
