import { type ErrorCode, NearcastError, describeError } from '../lib/errors.ts'
import { shown } from './object-key.ts'

/** Where a failure happened, for its message. */
export interface S3Place {
  readonly bucket: string
  /** What people call the service: the endpoint, or AWS and the region. */
  readonly service: string
  readonly key?: string | undefined
  readonly ifMatch?: string | undefined
  readonly cursor?: string | undefined
}

const CREDENTIALS_CURE =
  'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile with AWS_PROFILE'

const DENIED: ReadonlyMap<string, string> = new Map([
  ['CredentialsProviderError', `no credentials were found; ${CREDENTIALS_CURE}`],
  ['InvalidAccessKeyId', 'it does not know the access key; check AWS_ACCESS_KEY_ID'],
  ['SignatureDoesNotMatch', 'the secret key is wrong; check AWS_SECRET_ACCESS_KEY'],
  ['ExpiredToken', 'the session token has expired; get new credentials'],
  ['TokenRefreshRequired', 'the session token has expired; get new credentials'],
  ['InvalidToken', 'the session token is wrong; check AWS_SESSION_TOKEN'],
  ['RequestTimeTooSkewed', "this machine's clock is wrong; set it"],
  ['AuthorizationHeaderMalformed', "the region is wrong; set the origin's region to the bucket's"],
  ['PermanentRedirect', "the region is wrong; set the origin's region to the bucket's"],
  ['AccountProblem', 'the account has a problem'],
])

const FORBIDDEN =
  'check the credentials, and allow them s3:GetObject and s3:ListBucket (without s3:ListBucket a missing object is denied too)'

const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EPIPE',
  'ECONNABORTED',
])

/** What the SDK threw, as an error of ours: one line that says what to do, with bucket and service, without a secret. */
export function storeErrorOf(error: unknown, place: S3Place): unknown {
  if (!(error instanceof Error) || error instanceof NearcastError) return error
  const status = statusOf(error)
  const name = error.name
  const at = `${place.bucket} at ${place.service}`
  const key = shown(place.key ?? '')
  const object = place.key === undefined ? at : `${key} in ${at}`
  const as = (code: ErrorCode, message: string) => new NearcastError(code, message)

  const cure = DENIED.get(name)
  if (cure !== undefined) return as('store-denied', `${at}: ${cure}`)
  if (name === 'InvalidObjectState')
    return as('store-failed', `${object}: it is in an archive class; restore it before it is read`)
  if (name === 'NoSuchBucket') return as('bucket-not-found', `${at}: there is no such bucket`)
  if (name === 'PreconditionFailed' || status === 412)
    return as('object-changed', `${key}: expected "${place.ifMatch ?? ''}", it has another etag`)
  if (name === 'InvalidRange' || status === 416)
    return as('range-not-satisfiable', `${key}: the range lies outside`)
  if (name === 'NoSuchKey' || name === 'NotFound' || status === 404)
    return as('object-not-found', `${key}: there is no such object`)
  if (name === 'InvalidArgument' && place.cursor !== undefined)
    return as('bad-request', `${JSON.stringify(place.cursor)} is no cursor of a listing`)
  if (status === 401 || status === 403) return as('store-denied', `${at}: ${FORBIDDEN}`)
  if (status === 301) return as('store-denied', `${at}: ${DENIED.get('PermanentRedirect')}`)
  if (name === 'TimeoutError' || UNREACHABLE.has(systemCodeOf(error)))
    return as('store-unreachable', `${at}: ${describeError(error)}`)
  const said = status === undefined ? describeError(error) : `${status} ${name}`
  return new NearcastError('store-failed', `${object}: ${said}`, { cause: error })
}

function statusOf(error: Error): number | undefined {
  const metadata = '$metadata' in error ? error.$metadata : undefined
  if (typeof metadata !== 'object' || metadata === null) return undefined
  const status = 'httpStatusCode' in metadata ? metadata.httpStatusCode : undefined
  return typeof status === 'number' ? status : undefined
}

/** The system's word for what went wrong; of several tried addresses, the first one's. */
function systemCodeOf(error: Error): string {
  if ('code' in error && typeof error.code === 'string') return error.code
  if (error instanceof AggregateError && error.errors[0] instanceof Error)
    return systemCodeOf(error.errors[0])
  return error.cause instanceof Error ? systemCodeOf(error.cause) : ''
}
