import { NearcastError } from '../lib/errors.ts'

// S3 allows 1024 bytes; a bucket's prefix counts too, but the server says so itself.
const KEY_BYTES_MAX = 1024

/**
 * Throws `bad-request` for a key no store may have: empty, over 1024 bytes, not Unicode, with NUL, or with a `.` or `..` segment
 * (which a folder or a proxy before the bucket would resolve to another place).
 */
export function checkKey(key: string): void {
  const wrong = wrongOf(key)
  if (wrong) throw new NearcastError('bad-request', `the key ${shown(key)} ${wrong}`)
}

function wrongOf(key: string): string | undefined {
  if (key === '') return 'is empty'
  if (Buffer.byteLength(key) > KEY_BYTES_MAX) return `is longer than ${KEY_BYTES_MAX} bytes`
  if (key.includes('\0')) return 'has a NUL'
  if (/\p{Surrogate}/u.test(key)) return 'is not Unicode'
  if (key.split('/').some((segment) => segment === '.' || segment === '..'))
    return 'has a "." or ".." segment'
  return undefined
}

/** Whether `checkKey` lets it pass. */
export function isKey(key: string): boolean {
  return wrongOf(key) === undefined
}

/** A key in a message: quoted, and never longer than a line. */
export function shown(key: string): string {
  return JSON.stringify(key.length > 100 ? `${key.slice(0, 100)}…` : key)
}

/** Order of S3: by the bytes of UTF-8. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return byUtf8(x) - byUtf8(y)
  }
  return a.length - b.length
}

// UTF-16 puts surrogates before U+E000 to U+FFFF, UTF-8 behind.
function byUtf8(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}
