import type { GetObjectCommandOutput } from '@aws-sdk/client-s3'
import { Readable } from 'node:stream'
import type { Clock } from '../lib/clock.ts'
import { NearcastError, hasCode } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { listLimit } from './list-page.ts'
import { checkKey, shown } from './object-key.ts'
import type {
  ListOptions,
  ObjectInfo,
  ObjectList,
  ObjectRead,
  ObjectStore,
  ReadOptions,
  WriteOptions,
} from './object-store.ts'
import { checkRange, locateRange } from './read-range.ts'
import { transferBody } from './s3-body.ts'
import { type S3Connection, type S3StoreOptions, connectS3 } from './s3-client.ts'
import { decodeListed, etagFrom, infoFrom, placeOf, rangeField } from './s3-object.ts'
import { writeS3Object } from './s3-write.ts'

export type { S3StoreOptions } from './s3-client.ts'

/**
 * A bucket, or what is under a prefix of it, at AWS or anything that speaks S3. A read is one request; one that is left early closes
 * its connection. Credentials are looked for at the first request. The caller closes it.
 */
export function openS3Store(
  options: S3StoreOptions,
  deps: { readonly clock: Clock; readonly log: Log },
): ObjectStore {
  return new S3Store(options, deps)
}

class S3Store implements ObjectStore {
  readonly description: string
  readonly #connection: S3Connection
  readonly #prefix: string
  readonly #clock: Clock
  readonly #log: Log
  #bucketSeen = false

  constructor(options: S3StoreOptions, deps: { readonly clock: Clock; readonly log: Log }) {
    const prefix = options.prefix.replaceAll(/^\/+|\/+$/g, '')
    this.#prefix = prefix === '' ? '' : `${prefix}/`
    this.#connection = connectS3(options, deps.clock)
    this.#clock = deps.clock
    this.#log = deps.log
    this.description = `s3://${options.bucket}${prefix === '' ? '' : `/${prefix}`}`
  }

  async stat(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    checkKey(key)
    try {
      const answer = await this.#connection.send({
        key,
        signal,
        run: (sdk, client, options) =>
          client.send(new sdk.HeadObjectCommand(this.#address(key)), options),
      })
      this.#bucketSeen = true
      return identified(infoFrom(key, answer.ContentLength ?? 0, answer), this.description)
    } catch (error) {
      if (!hasCode(error, 'object-not-found')) throw error
      await this.#checkBucket(signal)
      return undefined
    }
  }

  async read(key: string, options: ReadOptions): Promise<ObjectRead> {
    const { range, ifMatch, signal } = options
    checkKey(key)
    checkRange(range)
    const input = {
      ...this.#address(key),
      Range: rangeField(range),
      IfMatch: ifMatch === undefined ? undefined : `"${ifMatch}"`,
    }
    const answer = await this.#connection.send({
      key,
      ifMatch,
      signal,
      run: (sdk, client, sendOptions) => client.send(new sdk.GetObjectCommand(input), sendOptions),
    })
    this.#bucketSeen = true
    const body = bodyOf(answer)
    try {
      return this.#readFrom(key, options, answer, body)
    } catch (error) {
      body.destroy()
      throw error
    }
  }

  async write(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: WriteOptions,
  ): Promise<ObjectInfo> {
    checkKey(key)
    const address = this.#address(key)
    const written = await writeS3Object(this.#connection, this.#log, key, address, body, options)
    this.#bucketSeen = true
    const { contentType, signal } = options
    if (!written.etag) {
      // Ceph 16 completes an upload without saying its etag.
      const info = await this.stat(key, signal)
      if (info) return info
      throw new NearcastError('store-failed', `${shown(key)}: written, and then not there`)
    }
    // The service's own time is not in its answer; the same second, when both clocks are right.
    const lastModified = Math.floor(this.#clock.now() / 1000) * 1000
    return { key, size: written.size, ...etagFrom(written.etag), lastModified, contentType }
  }

  async list(prefix: string, options: ListOptions): Promise<ObjectList> {
    const { signal } = options
    const input = {
      Bucket: this.#connection.bucket,
      Prefix: this.#prefix + prefix,
      Delimiter: options.delimiter,
      MaxKeys: listLimit(options.limit),
      ContinuationToken: options.cursor,
      // XML cannot say every character a key can have.
      EncodingType: 'url' as const,
    }
    const answer = await this.#connection.send({
      signal,
      cursor: options.cursor,
      run: (sdk, client, sendOptions) =>
        client.send(new sdk.ListObjectsV2Command(input), sendOptions),
    })
    this.#bucketSeen = true
    const encoded = answer.EncodingType === 'url'
    const named = (key: string) => decodeListed(key, encoded).slice(this.#prefix.length)
    const objects = (answer.Contents ?? []).flatMap((object) => {
      const key = named(object.Key ?? '')
      if (key === '') return []
      const lastModified = object.LastModified?.getTime() ?? 0
      return [{ key, size: object.Size ?? 0, ...etagFrom(object.ETag), lastModified }]
    })
    const prefixes = (answer.CommonPrefixes ?? []).map((common) => named(common.Prefix ?? ''))
    const cursor = answer.IsTruncated ? answer.NextContinuationToken : undefined
    return { objects, prefixes, cursor }
  }

  async remove(key: string, signal: AbortSignal): Promise<void> {
    checkKey(key)
    await this.#connection
      .send({
        key,
        signal,
        run: (sdk, client, options) =>
          client.send(new sdk.DeleteObjectCommand(this.#address(key)), options),
      })
      .catch((error) => {
        if (!hasCode(error, 'object-not-found')) throw error
      })
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  #address(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#connection.bucket, Key: this.#prefix + key }
  }

  #readFrom(
    key: string,
    { range, ifMatch, signal }: ReadOptions,
    answer: GetObjectCommandOutput,
    body: Readable,
  ): ObjectRead {
    const what = `${shown(key)} in ${this.#connection.bucket} at ${this.#connection.service}`
    const place = placeOf(answer.ContentRange, answer.ContentLength)
    const info = identified(infoFrom(key, place?.size ?? 0, answer), what)
    // There are services that do not know If-Match, or Range, and answer as if it had not been said.
    if (ifMatch !== undefined && (ifMatch !== info.etag || info.weak)) {
      const got = `${info.weak ? 'W/' : ''}"${info.etag}"`
      throw new NearcastError('object-changed', `${what}: expected "${ifMatch}", got ${got}`)
    }
    const asked = place && locateRange(key, range, place.size)
    if (!place || place.start !== asked?.start || place.length !== asked.length) {
      const got = answer.ContentRange ?? `${answer.ContentLength} bytes`
      throw new NearcastError('store-failed', `${what}: asked ${rangeField(range)}, got ${got}`)
    }
    const { start, length } = place
    const release = () => void body.destroy()
    const options = { what, length, signal, clock: this.#clock, release }
    return { info, start, length, body: transferBody(body, options) }
  }

  /** A HEAD says 404 for a missing object and a missing bucket alike: asked once, until the bucket was seen. */
  async #checkBucket(signal: AbortSignal): Promise<void> {
    if (this.#bucketSeen) return
    const Bucket = this.#connection.bucket
    try {
      await this.#connection.send({
        signal,
        run: (sdk, client, options) => client.send(new sdk.HeadBucketCommand({ Bucket }), options),
      })
    } catch (error) {
      if (hasCode(error, 'object-not-found') || hasCode(error, 'bucket-not-found'))
        throw new NearcastError(
          'bucket-not-found',
          `${Bucket} at ${this.#connection.service}: there is no such bucket`,
        )
      if (!hasCode(error, 'store-denied')) throw error
    }
    this.#bucketSeen = true
  }
}

/** Without its etag old and new bytes of a key could be taken for one object's. */
function identified(info: ObjectInfo, what: string): ObjectInfo {
  if (info.etag !== '') return info
  throw new NearcastError('store-failed', `${what}: the answer names no etag`)
}

function bodyOf(answer: GetObjectCommandOutput): Readable {
  if (answer.Body instanceof Readable) return answer.Body
  throw new NearcastError('internal', 'the SDK gave a body that is no stream of Node')
}
