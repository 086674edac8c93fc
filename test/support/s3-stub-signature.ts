import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** A request as it came, before anything is believed. */
export interface SignedRequest {
  readonly method: string
  /** Path and query as sent. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** What S3 answers when it refuses: status, code and a sentence. */
export class S3Refusal extends Error {
  readonly status: number
  readonly code: string
  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

interface Claim {
  readonly accessKeyId: string
  readonly day: string
  readonly region: string
  readonly signedHeaders: readonly string[]
  readonly signature: string
  readonly time: string
  readonly payloadHash: string
  /** The query without the signature itself. */
  readonly query: readonly (readonly [string, string])[]
}

const SKEW_MS = 15 * 60_000
const STREAMED = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'

/**
 * Checks Signature Version 4, in the Authorization field or the query, and every hash that the request announces; gives its payload.
 * Throws S3Refusal.
 */
export function verify(
  request: SignedRequest,
  credentials: Credentials,
  region: string,
  now: number,
): Buffer {
  const query = queryOf(request.target)
  const presigned = query.some(([name]) => name === 'X-Amz-Signature')
  const claim = presigned ? queryClaim(query, now) : headerClaim(request, query)
  if (claim.accessKeyId !== credentials.accessKeyId)
    throw new S3Refusal(403, 'InvalidAccessKeyId', 'The access key does not exist.')
  if (claim.region !== region)
    throw new S3Refusal(400, 'AuthorizationHeaderMalformed', `the region is wrong; ${region}`)
  if (!presigned) checkTime(claim.time, now)
  const unsigned = Object.keys(request.headers).find(
    (name) => name.startsWith('x-amz-') && !claim.signedHeaders.includes(name),
  )
  if (unsigned !== undefined || !claim.signedHeaders.includes('host'))
    throw new S3Refusal(403, 'AccessDenied', `The header ${unsigned ?? 'host'} was not signed.`)
  const expected = signatureOf(request, claim, credentials.secretAccessKey)
  if (!same(expected, claim.signature))
    throw new S3Refusal(403, 'SignatureDoesNotMatch', 'The signature does not match.')
  return payloadOf(request, claim.payloadHash)
}

function headerClaim(request: SignedRequest, query: Claim['query']): Claim {
  const { headers } = request
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/,]+)\/(\d{8})\/([^/,]+)\/s3\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/.exec(
      headers['authorization'] ?? '',
    )
  if (!match) throw new S3Refusal(403, 'AccessDenied', 'Access Denied')
  const [, accessKeyId = '', day = '', region = '', signedHeaders = '', signature = ''] = match
  const payloadHash = headers['x-amz-content-sha256']
  if (payloadHash === undefined)
    throw new S3Refusal(400, 'InvalidRequest', 'Missing required header x-amz-content-sha256')
  return {
    accessKeyId,
    day,
    region,
    signedHeaders: signedHeaders.split(';'),
    signature,
    time: headers['x-amz-date'] ?? '',
    payloadHash,
    query,
  }
}

function queryClaim(query: Claim['query'], now: number): Claim {
  const named = new Map(query)
  const value = (name: string) => named.get(`X-Amz-${name}`) ?? ''
  const [accessKeyId = '', day = '', region = '', service, end] = value('Credential').split('/')
  const well =
    value('Algorithm') === 'AWS4-HMAC-SHA256' && service === 's3' && end === 'aws4_request'
  const seconds = Number(value('Expires'))
  if (!well || !(seconds >= 1 && seconds <= 604_800))
    throw new S3Refusal(400, 'AuthorizationQueryParametersError', 'Query parameters are wrong.')
  if (now > timeOf(value('Date')) + seconds * 1000)
    throw new S3Refusal(403, 'AccessDenied', 'Request has expired')
  return {
    accessKeyId,
    day,
    region,
    signedHeaders: value('SignedHeaders').split(';'),
    signature: value('Signature'),
    time: value('Date'),
    payloadHash: named.get('X-Amz-Content-Sha256') ?? 'UNSIGNED-PAYLOAD',
    query: query.filter(([name]) => name !== 'X-Amz-Signature'),
  }
}

function checkTime(time: string, now: number): void {
  if (!(Math.abs(now - timeOf(time)) <= SKEW_MS))
    throw new S3Refusal(
      403,
      'RequestTimeTooSkewed',
      'The difference between the times is too large.',
    )
}

/** `20260131T235959Z` in milliseconds since 1970. */
function timeOf(text: string): number {
  const iso = text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z')
  return iso === text ? Number.NaN : Date.parse(iso)
}

function signatureOf(request: SignedRequest, claim: Claim, secret: string): string {
  const [path = ''] = request.target.split('?')
  const canonicalQuery = claim.query
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a, x], [b, y]) => order(a, b) || order(x, y))
    .map((pair) => pair.join('='))
    .join('&')
  const headers = claim.signedHeaders.map((name) => {
    const value = (request.headers[name] ?? '').trim().replaceAll(/ +/g, ' ')
    return `${name}:${value}\n`
  })
  const canonical = [
    request.method,
    decoded(path).split('/').map(encode).join('/'),
    canonicalQuery,
    headers.join(''),
    claim.signedHeaders.join(';'),
    claim.payloadHash,
  ].join('\n')
  const scope = `${claim.day}/${claim.region}/s3/aws4_request`
  const toSign = `AWS4-HMAC-SHA256\n${claim.time}\n${scope}\n${sha256(canonical)}`
  const parts = [claim.day, claim.region, 's3', 'aws4_request', toSign]
  let key: Buffer = Buffer.from(`AWS4${secret}`)
  for (const part of parts) key = createHmac('sha256', key).update(part).digest()
  return key.toString('hex')
}

function payloadOf(request: SignedRequest, payloadHash: string): Buffer {
  const { body, headers } = request
  if (payloadHash === STREAMED) return unchunked(body, headers)
  if (payloadHash.startsWith('STREAMING-'))
    throw new S3Refusal(501, 'NotImplemented', `${payloadHash} is not implemented`)
  if (payloadHash !== 'UNSIGNED-PAYLOAD' && sha256(body) !== payloadHash)
    throw new S3Refusal(400, 'XAmzContentSHA256Mismatch', 'The payload has another hash.')
  checkSums(body, headers)
  return body
}

/** aws-chunked: `HEX[;extension]\r\n bytes \r\n` …, `0\r\n`, trailers, an empty line. */
function unchunked(body: Buffer, headers: SignedRequest['headers']): Buffer {
  const broken = new S3Refusal(400, 'IncompleteBody', 'The chunks are broken.')
  const chunks: Buffer[] = []
  let at = 0
  for (;;) {
    const end = body.indexOf('\r\n', at)
    if (end < 0) throw broken
    const length = Number.parseInt(body.toString('latin1', at, end), 16)
    if (!(length >= 0)) throw broken
    at = end + 2
    if (length === 0) break
    if (body.toString('latin1', at + length, at + length + 2) !== '\r\n') throw broken
    chunks.push(body.subarray(at, at + length))
    at += length + 2
  }
  const decodedBody = Buffer.concat(chunks)
  const trailers = Object.fromEntries(
    body
      .toString('latin1', at)
      .split('\r\n')
      .filter((line) => line.includes(':'))
      .map((line) => [line.split(':')[0] ?? '', line.slice(line.indexOf(':') + 1).trim()]),
  )
  const announced = headers['x-amz-decoded-content-length']
  if (announced !== undefined && Number(announced) !== decodedBody.length) throw broken
  const trailer = headers['x-amz-trailer']
  if (trailer !== undefined && trailers[trailer] === undefined) throw broken
  checkSums(decodedBody, trailers)
  return decodedBody
}

function checkSums(body: Buffer, fields: Readonly<Record<string, string>>): void {
  const bigEndian = Buffer.alloc(4)
  bigEndian.writeUInt32BE(crc32(body))
  const sums = {
    'x-amz-checksum-crc32': bigEndian.toString('base64'),
    'x-amz-checksum-sha256': createHash('sha256').update(body).digest('base64'),
    'content-md5': createHash('md5').update(body).digest('base64'),
  }
  for (const [name, sum] of Object.entries(sums))
    if (fields[name] !== undefined && fields[name] !== sum)
      throw new S3Refusal(400, 'BadDigest', `The ${name} you specified did not match.`)
}

export function queryOf(target: string): readonly (readonly [string, string])[] {
  const at = target.indexOf('?')
  if (at < 0 || at === target.length - 1) return []
  return target
    .slice(at + 1)
    .split('&')
    .map((pair) => {
      const [name = '', ...value] = pair.split('=')
      return [decoded(name), decoded(value.join('='))] as const
    })
}

export function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new S3Refusal(400, 'InvalidURI', 'Could not parse the specified URI.')
  }
}

// RFC 3986's unreserved characters stay; encodeURIComponent leaves five more.
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function order(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

function same(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)]
  return x.length === y.length && timingSafeEqual(x, y)
}
