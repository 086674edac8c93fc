import { createHash } from 'node:crypto'
import type { StreamKeyChange } from '../distribution/change.ts'
import { NearcastError } from '../lib/errors.ts'
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
  /** It was replaced and holds no longer than this, milliseconds since 1970. */
  readonly until?: number | undefined
}

const KEY_LENGTH = 24
/** What a list shows of a key: 20 characters, 100 bits, stay hidden. */
const SHOWN_LENGTH = 4

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

/**
 * Makes a key in place of another, valid at once; the former one holds `overlapSeconds` longer, or is revoked. Throws
 * `conflict` when it was replaced before.
 */
export async function rotateStreamKey(
  log: ChangeLog,
  random: Random,
  former: StreamKeyEntry,
  { overlapSeconds, now }: { readonly overlapSeconds: number; readonly now: number },
): Promise<{ readonly made: StreamKeyEntry; readonly formerUntil: number }> {
  if (former.until !== undefined)
    throw new NearcastError('conflict', `key ${former.id} was replaced already`)
  const made = await createStreamKey(log, random, former.name, former.backup)
  const formerUntil = now + overlapSeconds * 1000
  await log.append(
    overlapSeconds === 0
      ? revocationOf(former)
      : {
          ...revocationOf(former),
          revoked: false,
          createdAt: former.createdAt,
          until: formerUntil,
          ...(former.backup && { backup: true }),
        },
  )
  return { made, formerUntil }
}

export function revokeStreamKey(log: ChangeLog, key: StreamKeyEntry): Promise<unknown> {
  return log.append(revocationOf(key))
}

/** The keys that hold at `now`, oldest first. */
export function listStreamKeys(log: ChangeLog, now: number): readonly StreamKeyEntry[] {
  return standingKeys(log).filter(({ until }) => until === undefined || now < until)
}

/** Those whose time is over, and that were not revoked yet. */
export function expiredStreamKeys(log: ChangeLog, now: number): readonly StreamKeyEntry[] {
  return standingKeys(log).filter(({ until }) => until !== undefined && until <= now)
}

/** Enough to tell keys apart by, for who has one. */
export function maskedKey(key: string): string {
  return `…${key.slice(-SHOWN_LENGTH)}`
}

function standingKeys(log: ChangeLog): readonly StreamKeyEntry[] {
  const keys = new Map<string, StreamKeyEntry>()
  for (const change of log.since(0) ?? []) {
    if (change.kind !== 'stream-key') continue
    const { name, key, backup = false, at, createdAt = at, until } = change
    if (change.revoked) keys.delete(key)
    else keys.set(key, { id: idOf(key), name, key, backup, createdAt, until })
  }
  return [...keys.values()].toSorted((a, b) => a.createdAt - b.createdAt)
}

function revocationOf({ name, key }: StreamKeyEntry): StreamKeyChange {
  return { kind: 'stream-key', name, key, revoked: true }
}

function idOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 12)
}
