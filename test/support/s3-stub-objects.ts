import { createHash } from 'node:crypto'
import { S3Refusal } from './s3-stub-signature.ts'

export interface StubObject {
  readonly bytes: Buffer
  /** Without quotes. */
  readonly etag: string
  readonly lastModified: number
  /** What goes out with it: content-type, cache-control, x-amz-meta-…. */
  readonly fields: Readonly<Record<string, string>>
}

interface Upload {
  readonly key: string
  readonly fields: StubObject['fields']
  readonly parts: Map<number, Buffer>
}

const PART_BYTES_MIN = 5 * 1024 * 1024

/** One bucket's contents and its unfinished uploads. */
export class StubBucket {
  readonly objects = new Map<string, StubObject>()
  readonly uploads = new Map<string, Upload>()
  #uploadCount = 0

  get(key: string): StubObject {
    const object = this.objects.get(key)
    if (!object) throw new S3Refusal(404, 'NoSuchKey', 'The specified key does not exist.')
    return object
  }

  put(key: string, bytes: Buffer, fields: StubObject['fields'], etag = md5(bytes)): StubObject {
    if (Buffer.byteLength(key) > 1024)
      throw new S3Refusal(400, 'KeyTooLongError', 'Your key is too long')
    const object = { bytes, etag, lastModified: Math.floor(Date.now() / 1000) * 1000, fields }
    this.objects.set(key, object)
    return object
  }

  createUpload(key: string, fields: StubObject['fields']): string {
    const id = `upload-${++this.#uploadCount}`
    this.uploads.set(id, { key, fields, parts: new Map() })
    return id
  }

  upload(id: string, key: string): Upload {
    const upload = this.uploads.get(id)
    if (!upload || upload.key !== key)
      throw new S3Refusal(404, 'NoSuchUpload', 'The specified upload does not exist.')
    return upload
  }

  putPart(id: string, key: string, number: number, bytes: Buffer): string {
    if (!(number >= 1 && number <= 10_000))
      throw new S3Refusal(400, 'InvalidArgument', 'Part number must be between 1 and 10000')
    this.upload(id, key).parts.set(number, bytes)
    return md5(bytes)
  }

  completeUpload(
    id: string,
    key: string,
    wanted: readonly { readonly number: number; readonly etag: string }[],
  ): StubObject {
    const upload = this.upload(id, key)
    const parts = wanted.map(({ number, etag }, i) => {
      const bytes = upload.parts.get(number)
      if (!bytes || md5(bytes) !== etag)
        throw new S3Refusal(400, 'InvalidPart', 'One or more of the parts could not be found.')
      if (number <= (wanted[i - 1]?.number ?? 0))
        throw new S3Refusal(400, 'InvalidPartOrder', 'The parts are not in ascending order.')
      if (bytes.length < PART_BYTES_MIN && i < wanted.length - 1)
        throw new S3Refusal(400, 'EntityTooSmall', 'A part is smaller than the minimum.')
      return bytes
    })
    const sums = Buffer.concat(parts.map((part) => Buffer.from(md5(part), 'hex')))
    this.uploads.delete(id)
    return this.put(key, Buffer.concat(parts), upload.fields, `${md5(sums)}-${parts.length}`)
  }

  list(query: {
    readonly prefix: string
    readonly delimiter: string
    readonly after: string
    readonly limit: number
  }): { readonly keys: string[]; readonly prefixes: string[]; readonly next: string | undefined } {
    const { prefix, delimiter, after, limit } = query
    const bytes = (key: string) => Buffer.from(key)
    const keys: string[] = []
    const prefixes: string[] = []
    let last = ''
    for (const key of [...this.objects.keys()].sort((a, b) => bytes(a).compare(bytes(b)))) {
      const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
      const name = at < 0 ? key : key.slice(0, at + delimiter.length)
      const passed = bytes(name).compare(bytes(after)) <= 0 || name === last
      if (!key.startsWith(prefix) || passed) continue
      if (keys.length + prefixes.length === limit) return { keys, prefixes, next: last }
      if (at < 0) keys.push(key)
      else prefixes.push(name)
      last = name
    }
    return { keys, prefixes, next: undefined }
  }
}

export function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}
