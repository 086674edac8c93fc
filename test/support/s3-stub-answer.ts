import { S3Refusal, decoded, queryOf } from './s3-stub-signature.ts'
import { StubBucket, type StubObject } from './s3-stub-objects.ts'

export interface StubRequest {
  readonly method: string
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
}

export interface StubAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** What a request asks for, by its method, path and query. */
export interface StubCall {
  readonly operation: string
  readonly bucket: string
  readonly key: string
  readonly query: ReadonlyMap<string, string>
}

type Handler = (call: StubCall, request: StubRequest, payload: Buffer) => StubAnswer

export function callOf({ method, target, headers }: StubRequest): StubCall {
  const path = decoded(target.split('?')[0] ?? '')
  const [, bucket = '', key = ''] = /^\/([^/]*)\/?(.*)$/s.exec(path) ?? []
  const query = new Map(queryOf(target))
  return { operation: operationOf(method, bucket, key, query, headers), bucket, key, query }
}

function operationOf(
  method: string,
  bucket: string,
  key: string,
  query: ReadonlyMap<string, string>,
  headers: StubRequest['headers'],
): string {
  if (bucket === '') return 'ListBuckets'
  const scope = key === '' ? 'bucket' : 'object'
  const mark = ['uploads', 'uploadId', 'tagging', 'cors', 'versioning', 'delete', 'list-type'].find(
    (name) => query.has(name),
  )
  const copies = method === 'PUT' && headers['x-amz-copy-source'] !== undefined
  return OPERATIONS[`${method} ${scope} ${copies ? 'copy' : (mark ?? '')}`.trim()] ?? 'Unknown'
}

const OPERATIONS: Readonly<Record<string, string>> = {
  'PUT bucket': 'CreateBucket',
  'HEAD bucket': 'HeadBucket',
  'GET bucket list-type': 'ListObjectsV2',
  'GET bucket uploads': 'ListMultipartUploads',
  'GET bucket versioning': 'GetBucketVersioning',
  'PUT bucket cors': 'PutBucketCors',
  'POST bucket delete': 'DeleteObjects',
  'GET object': 'GetObject',
  'HEAD object': 'HeadObject',
  'PUT object': 'PutObject',
  'PUT object copy': 'CopyObject',
  'PUT object tagging': 'PutObjectTagging',
  'DELETE object': 'DeleteObject',
  'POST object uploads': 'CreateMultipartUpload',
  'PUT object uploadId': 'UploadPart',
  'POST object uploadId': 'CompleteMultipartUpload',
  'DELETE object uploadId': 'AbortMultipartUpload',
}

const KEPT =
  /^(?:content-(?:type|disposition|encoding|language)|cache-control|expires|x-amz-meta-.*)$/

/** Carries out calls on `buckets`; throws S3Refusal. */
export function answerFor(
  buckets: Map<string, StubBucket>,
  call: StubCall,
  request: StubRequest,
  payload: Buffer,
): StubAnswer {
  const handler = handlersOf(buckets)[call.operation]
  if (!handler) throw new S3Refusal(501, 'NotImplemented', `${request.method} ${request.target}`)
  return handler(call, request, payload)
}

function handlersOf(buckets: Map<string, StubBucket>): Readonly<Record<string, Handler>> {
  const bucketOf = ({ bucket }: StubCall): StubBucket => {
    const found = buckets.get(bucket)
    if (!found) throw new S3Refusal(404, 'NoSuchBucket', 'The specified bucket does not exist')
    return found
  }
  const wanted = (call: StubCall, name: string) => call.query.get(name) ?? ''
  return {
    ListBuckets: () => {
      const names = [...buckets.keys()].map((name) => `<Bucket><Name>${name}</Name></Bucket>`)
      return xml('ListAllMyBucketsResult', `<Buckets>${names.join('')}</Buckets>`)
    },
    CreateBucket: ({ bucket }) => {
      if (!buckets.has(bucket)) buckets.set(bucket, new StubBucket())
      return empty(200)
    },
    HeadBucket: (call) => (bucketOf(call), empty(200)),
    GetBucketVersioning: (call) => (bucketOf(call), xml('VersioningConfiguration', '')),
    PutBucketCors: (call) => (bucketOf(call), empty(200)),
    PutObjectTagging: (call) => (bucketOf(call).get(call.key), empty(200)),
    ListObjectsV2: (call) => listAnswer(bucketOf(call), call),
    ListMultipartUploads: (call) => {
      const uploads = [...bucketOf(call).uploads].map(
        ([id, { key }]) => `<Upload><Key>${escaped(key)}</Key><UploadId>${id}</UploadId></Upload>`,
      )
      return xml('ListMultipartUploadsResult', uploads.join(''))
    },
    GetObject: (call, request) => objectAnswer(bucketOf(call).get(call.key), request),
    HeadObject: (call, request) => objectAnswer(bucketOf(call).get(call.key), request),
    PutObject: (call, request, payload) => {
      const bucket = bucketOf(call)
      checkWriteConditions(bucket.objects.get(call.key), request.headers)
      const { etag } = bucket.put(call.key, payload, keptFields(request.headers))
      return empty(200, { etag: `"${etag}"` })
    },
    CopyObject: (call, request) => {
      const source = decoded(request.headers['x-amz-copy-source'] ?? '').replace(/^\//, '')
      const [, from = '', key = ''] = /^([^/]+)\/(.+)$/s.exec(source) ?? []
      const { bytes, fields } = bucketOf({ ...call, bucket: from }).get(key)
      const { etag } = bucketOf(call).put(call.key, bytes, fields)
      return xml('CopyObjectResult', `<ETag>&quot;${etag}&quot;</ETag>`)
    },
    DeleteObject: (call) => (bucketOf(call).objects.delete(call.key), empty(204)),
    DeleteObjects: (call, _, payload) => {
      const bucket = bucketOf(call)
      const deleted = allOf(payload, 'Key').map((key) => {
        bucket.objects.delete(key)
        return `<Deleted><Key>${escaped(key)}</Key></Deleted>`
      })
      return xml('DeleteResult', deleted.join(''))
    },
    CreateMultipartUpload: (call, request) => {
      const id = bucketOf(call).createUpload(call.key, keptFields(request.headers))
      return xml('InitiateMultipartUploadResult', `<UploadId>${id}</UploadId>`)
    },
    UploadPart: (call, _, payload) => {
      const number = Number(wanted(call, 'partNumber'))
      const etag = bucketOf(call).putPart(wanted(call, 'uploadId'), call.key, number, payload)
      return empty(200, { etag: `"${etag}"` })
    },
    CompleteMultipartUpload: (call, _, payload) => {
      const etags = allOf(payload, 'ETag')
      const parts = allOf(payload, 'PartNumber').map((number, i) => ({
        number: Number(number),
        etag: (etags[i] ?? '').replaceAll('"', ''),
      }))
      const { etag } = bucketOf(call).completeUpload(wanted(call, 'uploadId'), call.key, parts)
      return xml('CompleteMultipartUploadResult', `<ETag>&quot;${etag}&quot;</ETag>`)
    },
    AbortMultipartUpload: (call) => {
      const bucket = bucketOf(call)
      bucket.upload(wanted(call, 'uploadId'), call.key)
      bucket.uploads.delete(wanted(call, 'uploadId'))
      return empty(204)
    },
  }
}

function objectAnswer(object: StubObject, request: StubRequest): StubAnswer {
  const { bytes, etag, lastModified, fields } = object
  const headers = {
    'content-type': 'binary/octet-stream',
    ...fields,
    etag: `"${etag}"`,
    'last-modified': new Date(lastModified).toUTCString(),
    'accept-ranges': 'bytes',
  }
  const conditions = request.headers
  const match = conditions['if-match']
  if (match !== undefined && match !== '*' && match.replaceAll('"', '') !== etag)
    throw new S3Refusal(412, 'PreconditionFailed', 'At least one condition did not hold')
  const noneMatch = conditions['if-none-match']
  const since = Date.parse(conditions['if-modified-since'] ?? '')
  const unchanged =
    noneMatch === undefined ? lastModified <= since : noneMatch.replaceAll('"', '') === etag
  if (unchanged) return { status: 304, headers, body: Buffer.alloc(0) }

  const range = /^bytes=(?:(\d+)-(\d*)|-(\d+))$/.exec(conditions['range'] ?? '')
  if (!range) return { status: 200, headers, body: bytes }
  const size = bytes.length
  const suffix = range[3] === undefined ? undefined : Number(range[3])
  const start = suffix === undefined ? Number(range[1]) : Math.max(0, size - suffix)
  const end = suffix === undefined && range[2] ? Math.min(Number(range[2]), size - 1) : size - 1
  if (start > end) throw new S3Refusal(416, 'InvalidRange', 'The range is not satisfiable')
  return {
    status: 206,
    headers: { ...headers, 'content-range': `bytes ${start}-${end}/${size}` },
    body: bytes.subarray(start, end + 1),
  }
}

function checkWriteConditions(
  current: StubObject | undefined,
  headers: StubRequest['headers'],
): void {
  const match = headers['if-match']
  if (match !== undefined && !current)
    throw new S3Refusal(404, 'NoSuchKey', 'The specified key does not exist.')
  const differs = match !== undefined && match.replaceAll('"', '') !== current?.etag
  if (differs || (headers['if-none-match'] === '*' && current))
    throw new S3Refusal(412, 'PreconditionFailed', 'At least one condition did not hold')
}

function listAnswer(bucket: StubBucket, { query }: StubCall): StubAnswer {
  const encodes = query.get('encoding-type') === 'url'
  const named = (key: string) =>
    escaped(encodes ? encodeURIComponent(key).replaceAll('%2F', '/').replaceAll('%20', '+') : key)
  const token = query.get('continuation-token')
  if (token !== undefined && !/^[\w-]+$/.test(token))
    throw new S3Refusal(400, 'InvalidArgument', 'The continuation token provided is incorrect')
  const { keys, prefixes, next } = bucket.list({
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    after: token ? Buffer.from(token, 'base64url').toString() : (query.get('start-after') ?? ''),
    limit: Math.min(Number(query.get('max-keys') ?? 1000), 1000),
  })
  const contents = keys.map((key) => {
    const { bytes, etag, lastModified } = bucket.get(key)
    const time = new Date(lastModified).toISOString()
    return `<Contents><Key>${named(key)}</Key><LastModified>${time}</LastModified><ETag>&quot;${etag}&quot;</ETag><Size>${bytes.length}</Size></Contents>`
  })
  const common = prefixes.map(
    (prefix) => `<CommonPrefixes><Prefix>${named(prefix)}</Prefix></CommonPrefixes>`,
  )
  const more =
    next === undefined
      ? '<IsTruncated>false</IsTruncated>'
      : `<IsTruncated>true</IsTruncated><NextContinuationToken>${Buffer.from(next).toString('base64url')}</NextContinuationToken>`
  const encoding = encodes ? '<EncodingType>url</EncodingType>' : ''
  return xml('ListBucketResult', [encoding, more, ...contents, ...common].join(''))
}

function keptFields(headers: StubRequest['headers']): StubObject['fields'] {
  const kept = Object.entries(headers).filter(([name]) => KEPT.test(name))
  return Object.fromEntries(
    kept
      .map(([name, value]) => [name, value.replace(/,?\s*aws-chunked/, '')] as const)
      .filter(([, value]) => value !== ''),
  )
}

function allOf(payload: Buffer, element: string): string[] {
  const found = payload.toString().matchAll(new RegExp(`<${element}>([^<]*)</${element}>`, 'g'))
  return [...found].map(([, text = '']) => unescaped(text))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function unescaped(text: string): string {
  return text
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}

function xml(root: string, content: string): StubAnswer {
  const text = `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</${root}>`
  return { status: 200, headers: { 'content-type': 'application/xml' }, body: Buffer.from(text) }
}

function empty(status: number, headers: StubAnswer['headers'] = {}): StubAnswer {
  return { status, headers, body: Buffer.alloc(0) }
}

export function refusalAnswer({ status, code, message }: S3Refusal): StubAnswer {
  const answer = xml('Error', `<Code>${code}</Code><Message>${escaped(message)}</Message>`)
  // Errors have no namespace, unlike every other answer.
  const text = answer.body.toString().replace(/ xmlns="[^"]*"/, '')
  return { ...answer, status, body: Buffer.from(text) }
}
