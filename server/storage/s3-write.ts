import type { CompletedPart } from '@aws-sdk/client-s3'
import { NearcastError, describeError, hasCode } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { shown } from './object-key.ts'
import type { WriteOptions } from './object-store.ts'
import type { S3Connection } from './s3-client.ts'
import { writtenBody } from './written-body.ts'

// S3 wants 5 MiB at least for each part but the last, R2 all of one size, and no more than 10,000 of them.
const PART_BYTES = 8 * 1024 * 1024
const PARTS_MAX = 10_000
/** A part over a slow line: 8 MiB at 0.6 Mbit/s. */
const UPLOAD_TIMEOUT_MS = 120_000

interface Address {
  readonly Bucket: string
  readonly Key: string
}
interface Written {
  readonly size: number
  readonly etag: string | undefined
}

/**
 * Writes one object: in one request up to 8 MiB, else in parts, of which at most three are in memory: the
 * one that is sent, for it may be sent again, the next one's chunks, and what they are joined to. A write that fails leaves nothing.
 */
export async function writeS3Object(
  connection: S3Connection,
  log: Log,
  key: string,
  address: Address,
  body: Uint8Array | AsyncIterable<Uint8Array>,
  options: WriteOptions,
): Promise<Written> {
  const partBytes = Math.max(PART_BYTES, Math.ceil((options.size ?? 0) / PARTS_MAX))
  const parts = inParts(writtenBody(key, body, options), partBytes)
  try {
    const begun: Buffer[] = []
    for (let next = await parts.next(); !next.done; next = await parts.next())
      if (begun.push(next.value) === 2) break
    if (begun.length < 2)
      return await putWhole(connection, key, address, begun[0] ?? Buffer.alloc(0), options)
    const upload = new Upload(connection, key, address, options)
    try {
      return await upload.run(chain(begun, parts))
    } catch (error) {
      await upload.abort(log)
      throw error
    }
  } finally {
    await parts.return()
  }
}

async function putWhole(
  connection: S3Connection,
  key: string,
  address: Address,
  bytes: Uint8Array,
  { contentType, signal }: WriteOptions,
): Promise<Written> {
  const input = { ...address, Body: bytes, ContentLength: bytes.length, ContentType: contentType }
  const answer = await connection.send({
    key,
    signal,
    timeoutMs: UPLOAD_TIMEOUT_MS,
    run: (sdk, client, options) => client.send(new sdk.PutObjectCommand(input), options),
  })
  return { size: bytes.length, etag: answer.ETag }
}

class Upload {
  readonly #connection: S3Connection
  readonly #key: string
  readonly #address: Address
  readonly #options: WriteOptions
  #id: string | undefined

  constructor(connection: S3Connection, key: string, address: Address, options: WriteOptions) {
    this.#connection = connection
    this.#key = key
    this.#address = address
    this.#options = options
  }

  async run(parts: AsyncIterable<Uint8Array>): Promise<Written> {
    const [key, { contentType, signal }] = [this.#key, this.#options]
    const created = await this.#connection.send({
      key,
      signal,
      run: (sdk, client, options) => {
        const ChecksumAlgorithm = this.#connection.checksum
        const input = { ...this.#address, ContentType: contentType, ChecksumAlgorithm }
        return client.send(new sdk.CreateMultipartUploadCommand(input), options)
      },
    })
    if (!created.UploadId) throw new NearcastError('store-failed', `${shown(key)}: no upload id`)
    this.#id = created.UploadId
    const sent: CompletedPart[] = []
    let size = 0
    for await (const part of parts) {
      if (sent.length === PARTS_MAX)
        throw new NearcastError('limit-exceeded', `${shown(key)}: longer than ${size} bytes`)
      sent.push(await this.#sendPart(part, sent.length + 1))
      size += part.length
    }
    const target = { ...this.#address, UploadId: this.#id, MultipartUpload: { Parts: sent } }
    const completed = await this.#connection.send({
      key,
      signal,
      timeoutMs: UPLOAD_TIMEOUT_MS,
      run: (sdk, client, options) =>
        client.send(new sdk.CompleteMultipartUploadCommand(target), options),
    })
    return { size, etag: completed.ETag }
  }

  /** What S3 has of an upload costs money until it is aborted. */
  async abort(log: Log): Promise<void> {
    if (this.#id === undefined) return
    const input = { ...this.#address, UploadId: this.#id }
    await this.#connection
      .send({
        key: this.#key,
        // The write's own signal may be what ended it; the deadline holds.
        signal: new AbortController().signal,
        run: (sdk, client, options) =>
          client.send(new sdk.AbortMultipartUploadCommand(input), options),
      })
      .catch((error) => {
        // Its end came through, and only the answer was lost.
        if (hasCode(error, 'object-not-found')) return
        const bucket = this.#connection.bucket
        const facts = { bucket, key: this.#key, error: describeError(error) }
        log.warn('parts of a failed upload are left in the bucket', facts)
      })
  }

  async #sendPart(bytes: Uint8Array, number: number): Promise<CompletedPart> {
    const input = {
      ...this.#address,
      UploadId: this.#id,
      PartNumber: number,
      Body: bytes,
      ContentLength: bytes.length,
    }
    const answer = await this.#connection.send({
      key: this.#key,
      signal: this.#options.signal,
      timeoutMs: UPLOAD_TIMEOUT_MS,
      run: (sdk, client, options) => client.send(new sdk.UploadPartCommand(input), options),
    })
    // S3 refuses summed parts of an upload that was not announced as such, and the end of one that does not repeat the sums.
    return { PartNumber: number, ETag: answer.ETag, ChecksumCRC32: answer.ChecksumCRC32 }
  }
}

/** The bytes in parts of exactly `partBytes`, the last shorter. */
async function* inParts(
  body: AsyncIterable<Uint8Array>,
  partBytes: number,
): AsyncGenerator<Buffer, void> {
  let chunks: Uint8Array[] = []
  let length = 0
  for await (let chunk of body) {
    while (length + chunk.length >= partBytes) {
      const taken = partBytes - length
      chunks.push(chunk.subarray(0, taken))
      const whole = chunks
      chunks = []
      length = 0
      chunk = chunk.subarray(taken)
      yield Buffer.concat(whole.splice(0), partBytes)
    }
    if (chunk.length === 0) continue
    chunks.push(chunk)
    length += chunk.length
  }
  if (length > 0) yield Buffer.concat(chunks, length)
}

async function* chain(
  first: Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  // Taken out, so that they do not stay to the end.
  for (let part = first.shift(); part; part = first.shift()) yield part
  yield* rest
}
