import { createHash, timingSafeEqual } from 'node:crypto'

export interface StreamKey {
  readonly name: string
  readonly key: string
  /** Its publisher stands by for one with another key of this name. */
  readonly backup?: boolean | undefined
}

/** What a secret key opens. */
export interface OpenedStream {
  readonly name: string
  readonly backup: boolean
}

/**
 * Finds the stream a secret key belongs to. All keys are compared, each in the same time whatever it holds, so that
 * answers tell nothing about how near a guess was. `keys` is asked each time: keys are made and revoked while running.
 */
export function createKeyResolver(
  keys: () => Iterable<StreamKey>,
): (key: string) => OpenedStream | undefined {
  return (key) => {
    const given = digest(key)
    let found: OpenedStream | undefined
    for (const known of keys()) {
      if (timingSafeEqual(digest(known.key), given))
        found = { name: known.name, backup: known.backup === true }
    }
    return found
  }
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}
