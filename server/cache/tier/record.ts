import { crc32 } from 'node:zlib'
import type { KeyHash } from './hash-index.ts'

/**
 * What a record is. `object`: an answer, with its bytes or with the name of the slices that hold them; `slice`: one cell of a
 * generation; `vary`: the fields that choose among a key's answers; `gone`: an older record of this hash counts no more; `path`: all older
 * answers of a path count no more.
 */
export const RECORD_KINDS = ['object', 'slice', 'vary', 'gone', 'path'] as const
export type RecordKind = (typeof RECORD_KINDS)[number]

export interface RecordContent {
  readonly kind: RecordKind
  readonly key: string
  /** JSON text; empty for none. */
  readonly meta: string
  /** One after another. Kept by reference until written, so they must not change. */
  readonly body: readonly Uint8Array[]
}

export interface RecordHeader {
  readonly kind: RecordKind
  readonly hash: KeyHash
  readonly keyLength: number
  readonly metaLength: number
  readonly bodyLength: number
  readonly contentSum: number
  /** Of the whole record, this header included. */
  readonly length: number
}

export interface StoredRecord {
  readonly kind: RecordKind
  readonly key: string
  readonly meta: string
  /** A view of what was read. */
  readonly body: Buffer
}

export const RECORD_HEADER_BYTES = 36
export const RECORD_BODY_MAX = 64 * 1024 * 1024
const KEY_MAX = 64 * 1024
const META_MAX = 256 * 1024
// "NcR1": the last character is the version of this form.
const MAGIC = 0x4e635231

/** Buffers that make up the record, in order, or undefined when it is longer than records may be. */
export function writeRecord(
  hash: KeyHash,
  { kind, key, meta, body }: RecordContent,
): { readonly parts: readonly Uint8Array[]; readonly length: number } | undefined {
  const words = Buffer.from(key + meta, 'utf8')
  const keyLength = Buffer.byteLength(key, 'utf8')
  const bodyLength = body.reduce((sum, { length }) => sum + length, 0)
  const metaLength = words.length - keyLength
  if (keyLength > KEY_MAX || metaLength > META_MAX || bodyLength > RECORD_BODY_MAX) return undefined
  let contentSum = crc32(words)
  for (const part of body) contentSum = crc32(part, contentSum)
  const header = Buffer.alloc(RECORD_HEADER_BYTES)
  header.writeUInt32LE(MAGIC, 0)
  header.writeUInt32LE(RECORD_KINDS.indexOf(kind), 4)
  header.writeUInt32LE(hash.high, 8)
  header.writeUInt32LE(hash.low, 12)
  header.writeUInt32LE(keyLength, 16)
  header.writeUInt32LE(metaLength, 20)
  header.writeUInt32LE(bodyLength, 24)
  header.writeUInt32LE(contentSum, 28)
  header.writeUInt32LE(crc32(header.subarray(0, 32)), 32)
  return {
    parts: [header, words, ...body],
    length: header.length + words.length + bodyLength,
  }
}

/** The header at `offset`; undefined when there is none, it is cut short, damaged, or says more than records may hold. */
export function readRecordHeader(bytes: Buffer, offset = 0): RecordHeader | undefined {
  if (offset + RECORD_HEADER_BYTES > bytes.length) return undefined
  const header = bytes.subarray(offset, offset + RECORD_HEADER_BYTES)
  if (header.readUInt32LE(0) !== MAGIC) return undefined
  if (header.readUInt32LE(32) !== crc32(header.subarray(0, 32))) return undefined
  const kind = RECORD_KINDS[header.readUInt32LE(4)]
  const keyLength = header.readUInt32LE(16)
  const metaLength = header.readUInt32LE(20)
  const bodyLength = header.readUInt32LE(24)
  if (kind === undefined || keyLength > KEY_MAX || metaLength > META_MAX) return undefined
  if (bodyLength > RECORD_BODY_MAX) return undefined
  return {
    kind,
    hash: { high: header.readUInt32LE(8), low: header.readUInt32LE(12) },
    keyLength,
    metaLength,
    bodyLength,
    contentSum: header.readUInt32LE(28),
    length: RECORD_HEADER_BYTES + keyLength + metaLength + bodyLength,
  }
}

/** A whole record that begins at the first byte; undefined when any byte of it is not as it was written. */
export function readRecord(bytes: Buffer): StoredRecord | undefined {
  const header = readRecordHeader(bytes)
  if (!header || header.length > bytes.length) return undefined
  const content = bytes.subarray(RECORD_HEADER_BYTES, header.length)
  if (crc32(content) !== header.contentSum) return undefined
  const { kind, keyLength, metaLength } = header
  return {
    kind,
    key: content.toString('utf8', 0, keyLength),
    meta: content.toString('utf8', keyLength, keyLength + metaLength),
    body: content.subarray(keyLength + metaLength),
  }
}
