import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutBucketCorsCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
  type S3ClientConfig,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type S3Stub, startS3Stub } from '../support/s3-stub.ts'

// The stub stands in for S3 in other tests: here it is held to what AWS and Ceph do, with the SDK's default settings.
describe('the S3 stub', () => {
  const Bucket = 'media'
  const Key = 'a/b c+ü.bin'
  const body = randomBytes(1_000_000)
  const quoted = `"${createHash('md5').update(body).digest('hex')}"`
  const other = `"${'0'.repeat(32)}"`
  let stub: S3Stub
  let s3: S3Client

  const clientOf = (more: S3ClientConfig = {}) =>
    new S3Client({
      endpoint: stub.endpoint,
      region: stub.region,
      forcePathStyle: true,
      credentials: stub.credentials,
      maxAttempts: 1,
      ...more,
    })
  const bytesOf = async (command: GetObjectCommand) =>
    Buffer.from((await (await s3.send(command)).Body?.transformToByteArray()) ?? [])

  beforeAll(async () => {
    stub = await startS3Stub()
    s3 = clientOf()
    await s3.send(
      new PutObjectCommand({
        Bucket,
        Key,
        Body: body,
        ContentType: 'video/mp4',
        CacheControl: 'max-age=60',
        Metadata: { foo: 'bar' },
      }),
    )
    await s3.send(new PutObjectCommand({ Bucket, Key: 'small', Body: 'x' }))
  })
  afterAll(async () => {
    s3.destroy()
    await stub.close()
  })

  it('makes and lists buckets', async () => {
    await s3.send(new CreateBucketCommand({ Bucket: 'second' }))
    const { Buckets } = await s3.send(new ListBucketsCommand({}))
    expect(Buckets?.map(({ Name }) => Name)).toEqual(['media', 'second'])
    const { Status } = await s3.send(new GetBucketVersioningCommand({ Bucket }))
    expect(Status).toBeUndefined()
    const CORSConfiguration = { CORSRules: [{ AllowedMethods: ['GET'], AllowedOrigins: ['*'] }] }
    await s3.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration }))
  })

  it('keeps bytes, type, fields and metadata under the MD5 as etag', async () => {
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key }))
    expect(head).toMatchObject({
      ETag: quoted,
      ContentLength: 1_000_000,
      ContentType: 'video/mp4',
      CacheControl: 'max-age=60',
      AcceptRanges: 'bytes',
      Metadata: { foo: 'bar' },
    })
    expect((await bytesOf(new GetObjectCommand({ Bucket, Key }))).equals(body)).toBe(true)
  })

  it('takes a stream in signed chunks, with its checksum behind', async () => {
    const Body = Readable.from([body.subarray(0, 500_000), body.subarray(500_000)])
    const put = { Bucket, Key: 'stream', Body, ContentLength: body.length }
    await s3.send(new PutObjectCommand(put))
    expect((await bytesOf(new GetObjectCommand({ Bucket, Key: 'stream' }))).equals(body)).toBe(true)
  })

  it.each([
    ['bytes=100-199', 100, 200, 'bytes 100-199/1000000'],
    ['bytes=-100', 999_900, 1_000_000, 'bytes 999900-999999/1000000'],
    ['bytes=999999-5000000', 999_999, 1_000_000, 'bytes 999999-999999/1000000'],
  ])('answers %s', async (Range, from, to, ContentRange) => {
    const answer = await s3.send(new GetObjectCommand({ Bucket, Key, Range }))
    expect(answer).toMatchObject({ ContentRange, $metadata: { httpStatusCode: 206 } })
    const bytes = Buffer.from((await answer.Body?.transformToByteArray()) ?? [])
    expect(bytes.equals(body.subarray(from, to))).toBe(true)
  })

  const status = (httpStatusCode: number) => ({ $metadata: { httpStatusCode } })

  it('refuses a range outside, a missing object and a missing bucket', async () => {
    const asked = (input: { Bucket: string; Key: string; Range?: string }) =>
      s3.send(new GetObjectCommand(input))
    await expect(asked({ Bucket, Key, Range: 'bytes=2000000-' })).rejects.toMatchObject(status(416))
    await expect(asked({ Bucket, Key: 'no' })).rejects.toMatchObject({
      name: 'NoSuchKey',
      ...status(404),
    })
    await expect(asked({ Bucket: 'nosuch', Key })).rejects.toMatchObject({ name: 'NoSuchBucket' })
  })

  it('knows the conditions of reads', async () => {
    const IfModifiedSince = new Date(Date.now() + 1000)
    const get = (more: object) => s3.send(new GetObjectCommand({ Bucket, Key, ...more }))
    await expect(get({ IfNoneMatch: quoted })).rejects.toMatchObject(status(304))
    await expect(get({ IfModifiedSince })).rejects.toMatchObject(status(304))
    await expect(get({ IfMatch: other })).rejects.toMatchObject(status(412))
    const right = await get({ IfMatch: quoted, Range: 'bytes=0-9' })
    await right.Body?.transformToByteArray()
    expect(right.$metadata.httpStatusCode).toBe(206)
    const head = s3.send(new HeadObjectCommand({ Bucket, Key, IfNoneMatch: quoted }))
    await expect(head).rejects.toMatchObject(status(304))
  })

  it('knows the conditions of writes', async () => {
    const put = (key: string, more: object) =>
      s3.send(new PutObjectCommand({ Bucket, Key: key, Body: 'x', ...more }))
    await expect(put(Key, { IfNoneMatch: '*' })).rejects.toMatchObject(status(412))
    await expect(put(Key, { IfMatch: other })).rejects.toMatchObject(status(412))
    expect((await put('new', { IfNoneMatch: '*' })).$metadata.httpStatusCode).toBe(200)
  })

  it('lists in order, in pages, by delimiter and from a key on', async () => {
    for (let i = 0; i < 25; i++) stub.put(`l/k${String(i).padStart(3, '0')}`, Buffer.from('x'))
    const seen: string[] = []
    let ContinuationToken: string | undefined
    let pages = 0
    do {
      const input = { Bucket, Prefix: 'l/', MaxKeys: 10, ContinuationToken }
      const page = await s3.send(new ListObjectsV2Command(input))
      seen.push(...(page.Contents ?? []).map((object) => object.Key ?? ''))
      ContinuationToken = page.NextContinuationToken
      pages++
    } while (ContinuationToken && pages < 9)
    expect([pages, seen.length, [...seen].sort().join() === seen.join()]).toEqual([3, 25, true])
    const delimited = await s3.send(new ListObjectsV2Command({ Bucket, Delimiter: '/' }))
    expect(delimited.CommonPrefixes?.map(({ Prefix }) => Prefix)).toEqual(['a/', 'l/'])
    const StartAfter = 'l/k020'
    const after = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'l/', StartAfter }))
    expect(after.Contents).toHaveLength(4)
  })

  it('puts parts together, and refuses small and unknown ones', async () => {
    const part = 5 * 1024 * 1024
    const large = randomBytes(2 * part + 1000)
    const upload = async (sizes: readonly number[]) => {
      const target = { Bucket, Key: 'parts' }
      const { UploadId } = await s3.send(new CreateMultipartUploadCommand(target))
      const Parts: { PartNumber: number; ETag: string | undefined }[] = []
      let at = 0
      for (const [i, size] of sizes.entries()) {
        const input = {
          ...target,
          UploadId,
          PartNumber: i + 1,
          Body: large.subarray(at, at + size),
        }
        const { ETag } = await s3.send(new UploadPartCommand(input))
        Parts.push({ PartNumber: i + 1, ETag })
        at += size
      }
      const MultipartUpload = { Parts }
      return s3.send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload }))
    }
    expect((await upload([part, part, 1000])).ETag).toMatch(/-3"$/)
    const Range = `bytes=${part - 10}-${part + 9}`
    const over = await bytesOf(new GetObjectCommand({ Bucket, Key: 'parts', Range }))
    expect(over.equals(large.subarray(part - 10, part + 10))).toBe(true)
    await expect(upload([1000, part])).rejects.toMatchObject({ name: 'EntityTooSmall' })
  })

  it('lists and forgets unfinished uploads', async () => {
    const target = { Bucket, Key: 'unfinished' }
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand(target))
    const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket }))
    expect(Uploads?.map((upload) => upload.Key)).toContain('unfinished')
    await s3.send(new AbortMultipartUploadCommand({ ...target, UploadId }))
    const again = s3.send(new AbortMultipartUploadCommand({ ...target, UploadId }))
    await expect(again).rejects.toMatchObject({ name: 'NoSuchUpload' })
  })

  it('takes what lib-storage uploads', async () => {
    const params = { Bucket, Key: 'up', Body: Readable.from([randomBytes(6 * 1024 * 1024)]) }
    await new Upload({ client: s3, params }).done()
    const { ContentLength } = await s3.send(new HeadObjectCommand({ Bucket, Key: 'up' }))
    expect(ContentLength).toBe(6 * 1024 * 1024)
  })

  it('copies, tags and deletes', async () => {
    await s3.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/small` }))
    expect((await bytesOf(new GetObjectCommand({ Bucket, Key: 'copy' }))).toString()).toBe('x')
    const Tagging = { TagSet: [{ Key: 'a', Value: 'b' }] }
    await s3.send(new PutObjectTaggingCommand({ Bucket, Key: 'copy', Tagging }))
    const Delete = { Objects: [{ Key: 'copy' }, { Key: 'was-never-there' }] }
    const { Deleted } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete }))
    expect(Deleted).toHaveLength(2)
  })

  it('lets presigned URLs in, until they are changed or too old', async () => {
    const small = new GetObjectCommand({ Bucket, Key: 'small' })
    const url = await getSignedUrl(s3, small, { expiresIn: 60 })
    expect(await (await fetch(url)).text()).toBe('x')
    expect((await fetch(url, { headers: { range: 'bytes=0-0' } })).status).toBe(206)
    const changed = url.replace(
      /X-Amz-Signature=(.)/,
      (_, first) => `X-Amz-Signature=${first === '0' ? '1' : '0'}`,
    )
    expect((await fetch(changed)).status).toBe(403)
    expect((await fetch(url.replace('/small', '/new'))).status).toBe(403)
    const signingDate = new Date(Date.now() - 120_000)
    const old = await getSignedUrl(s3, small, { expiresIn: 1, signingDate })
    expect((await fetch(old)).status).toBe(403)
    const put = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: 'ps' }), {
      expiresIn: 60,
    })
    expect((await fetch(put, { method: 'PUT', body: 'hello' })).status).toBe(200)
  })

  it('lets nobody in without the right credentials', async () => {
    const { credentials } = stub
    const asked = (more: S3ClientConfig) =>
      clientOf(more).send(new GetObjectCommand({ Bucket, Key: 'small' }))
    await expect(
      asked({ credentials: { ...credentials, secretAccessKey: 'wrong' } }),
    ).rejects.toMatchObject({ name: 'SignatureDoesNotMatch', ...status(403) })
    await expect(
      asked({ credentials: { ...credentials, accessKeyId: 'NOPE' } }),
    ).rejects.toMatchObject({ name: 'InvalidAccessKeyId', ...status(403) })
    expect((await fetch(`${stub.endpoint}/${Bucket}/small`)).status).toBe(403)
  })

  it('refuses bytes that are not those that were signed', async () => {
    const client = clientOf()
    client.middlewareStack.add(
      (next) => async (args) => {
        const request = args.request as { body?: unknown }
        if (request.body !== undefined) request.body = Buffer.from('y')
        return next(args)
      },
      { step: 'finalizeRequest', priority: 'low' },
    )
    const put = client.send(new PutObjectCommand({ Bucket, Key: 'changed', Body: 'x' }))
    await expect(put).rejects.toMatchObject(status(400))
  })
})
