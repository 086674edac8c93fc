import { randomBytes } from 'node:crypto'

/** Randomness as a dependency, so that tests can be repeated. */
export interface Random {
  bytes(length: number): Buffer
  /** A number in [0, 1). */
  fraction(): number
}

export const systemRandom: Random = {
  bytes: (length) => randomBytes(length),
  fraction: () => Math.random(),
}

const ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789'

/** A token of `length` characters that people can read aloud: 5 bits each, no l, o, 0 or 1. */
export function readableToken(random: Random, length: number): string {
  let token = ''
  for (const byte of random.bytes(length)) token += ALPHABET[byte & 31]
  return token
}
