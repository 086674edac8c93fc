import type { S3Client } from '@aws-sdk/client-s3'
import type { Clock } from '../lib/clock.ts'
import { deferred } from '../lib/deferred.ts'
import { NearcastError } from '../lib/errors.ts'
import { type S3Place, storeErrorOf } from './s3-errors.ts'

export interface S3StoreOptions {
  readonly bucket: string
  /** Put before each key with a slash between; '' for none. */
  readonly prefix: string
  readonly region: string
  /** undefined: AWS. */
  readonly endpoint: string | undefined
  /** The bucket in the path instead of the host name. */
  readonly pathStyle: boolean
  /** undefined: the SDK's own chain (environment, profile, role of the machine). */
  readonly credentials?:
    | { readonly accessKeyId: string; readonly secretAccessKey: string }
    | undefined
}

export type Sdk = typeof import('@aws-sdk/client-s3')

/** One bucket of one service, and how a request to it is made. */
export interface S3Connection {
  readonly bucket: string
  readonly service: string
  /** What parts are summed with; undefined where the service may not know it. */
  readonly checksum: 'CRC32' | undefined
  /** Sends until the head of an answer is there; errors are the store's. */
  send<T>(request: S3Request<T>): Promise<T>
  close(): Promise<void>
}

export interface S3Request<T> {
  readonly key?: string | undefined
  readonly ifMatch?: string | undefined
  /** Of a listing: an invalid argument is this one. */
  readonly cursor?: string | undefined
  readonly signal: AbortSignal
  /** To the head of the answer, a repetition and the sending of a body included. */
  readonly timeoutMs?: number | undefined
  run(sdk: Sdk, client: S3Client, options: { readonly abortSignal: AbortSignal }): Promise<T>
}

const CONNECT_TIMEOUT_MS = 5_000
const ANSWER_TIMEOUT_MS = 15_000
/** A transfer that its reader pauses holds one: with all taken by slow viewers, reads wait and end as `store-unreachable`. */
const SOCKETS_MAX = 1024
/** The first try and one more: a kept connection that the service just closed is the usual reason. */
const ATTEMPTS_MAX = 2

export function connectS3(options: S3StoreOptions, clock: Clock): S3Connection {
  const { bucket } = options
  const service = options.endpoint ? hostOf(options.endpoint) : `AWS ${options.region}`
  // Only here, as it takes a quarter of a second that a server without a bucket need not wait.
  const opened = import('@aws-sdk/client-s3').then((sdk) => ({
    sdk,
    client: openClient(sdk, options),
  }))
  opened.catch(() => {})
  return {
    bucket,
    service,
    checksum: options.endpoint === undefined ? 'CRC32' : undefined,

    async send(request) {
      const { key, ifMatch, cursor, signal, timeoutMs = ANSWER_TIMEOUT_MS } = request
      signal.throwIfAborted()
      const place: S3Place = { bucket, service, key, ifMatch, cursor }
      const controller = new AbortController()
      const stopped = deferred<never>()
      stopped.promise.catch(() => {})
      const stop = (reason: unknown) => {
        stopped.reject(reason)
        controller.abort(reason)
      }
      const onAbort = () => stop(signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
      using _deadline = clock.after(timeoutMs, () => stop(lateAnswer(place, timeoutMs)))
      try {
        const { sdk, client } = await opened
        const answer = request.run(sdk, client, { abortSignal: controller.signal })
        answer.catch(() => {})
        return await Promise.race([answer, stopped.promise])
      } catch (error) {
        throw signal.aborted ? signal.reason : storeErrorOf(error, place)
      } finally {
        signal.removeEventListener('abort', onAbort)
      }
    },

    async close() {
      const { client } = await opened
      client.destroy()
    },
  }
}

function openClient(sdk: Sdk, options: S3StoreOptions): S3Client {
  const agent = { keepAlive: true, maxSockets: SOCKETS_MAX }
  const aws = options.endpoint === undefined
  return new sdk.S3Client({
    region: options.region,
    ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    ...(options.credentials ? { credentials: options.credentials } : {}),
    forcePathStyle: options.pathStyle,
    followRegionRedirects: aws,
    maxAttempts: ATTEMPTS_MAX,
    requestChecksumCalculation: aws ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED',
    // A validated body is a copy through a stream that, destroyed early, leaves its connection open for ever.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      // It would also cut a transfer that its reader pauses; `transferBody` watches only those somebody waits for.
      socketTimeout: 0,
      httpAgent: agent,
      httpsAgent: agent,
      logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    },
  })
}

function lateAnswer({ bucket, service }: S3Place, timeoutMs: number): NearcastError {
  return new NearcastError(
    'store-unreachable',
    `${bucket} at ${service}: no answer within ${timeoutMs} ms`,
  )
}

/** Never with the name and password a URL can carry. */
function hostOf(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url && /^https?:$/.test(url.protocol)) return url.origin
  throw new NearcastError(
    'config-invalid',
    'the endpoint of an S3 origin is no http:// or https:// URL',
  )
}
