import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import {
  type StubAnswer,
  type StubCall,
  type StubRequest,
  answerFor,
  callOf,
  refusalAnswer,
} from './s3-stub-answer.ts'
import { StubBucket } from './s3-stub-objects.ts'
import { type Credentials, S3Refusal, verify } from './s3-stub-signature.ts'

/** One line of the journal: what was asked and what went out. */
export interface StubEntry {
  readonly operation: string
  readonly bucket: string
  readonly key: string
  readonly range: string | undefined
  readonly ifMatch: string | undefined
  status: number
  /** Bytes of the body that were handed to the socket. */
  sentBytes: number
}

export type StubFault =
  /** Waits before it answers. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Answers an error, for example 503 SlowDown. */
  | { readonly kind: 'error'; readonly status: number; readonly code: string }
  /** Announces the whole body, sends so many bytes, ends the connection. */
  | { readonly kind: 'short'; readonly afterBytes: number }
  /** Resets the connection after so many bytes; 0: before the head. */
  | { readonly kind: 'reset'; readonly afterBytes: number }
  /** Sends so many bytes and then nothing more; 0: not even a head. */
  | { readonly kind: 'hang'; readonly afterBytes: number }
  /** Another object takes the key's place when the head is sent: the etag changes midway. */
  | { readonly kind: 'replace'; readonly bytes: Uint8Array }
  /** Leaves the etag out of an answer's XML, as Ceph 16 does when it completes an upload. */
  | { readonly kind: 'no-etag' }
  /** Makes the etag weak, as a proxy that compresses does. */
  | { readonly kind: 'weak-etag' }
  | { readonly kind: 'rate'; readonly bytesPerSecond: number }

export interface StubFaultScope {
  readonly operation?: string
  readonly key?: string
  /** For so many requests; always when undefined. */
  readonly times?: number
}

export interface S3Stub {
  readonly endpoint: string
  readonly region: string
  readonly bucket: string
  readonly credentials: Credentials
  /** Every request since the start or the last `forget`. */
  readonly journal: readonly StubEntry[]
  /** Requests that read bytes of objects. */
  reads(key?: string): readonly StubEntry[]
  /** Empties the journal. */
  forget(): void
  put(key: string, bytes: Uint8Array, fields?: Readonly<Record<string, string>>): void
  /** Uploads that were begun and neither completed nor aborted. */
  unfinishedUploads(): number
  /** Connections that were ever made. */
  connections(): number
  fault(fault: StubFault, scope?: StubFaultScope): void
  clearFaults(): void
  close(): Promise<void>
}

export interface S3StubOptions {
  readonly credentials?: Credentials
  readonly region?: string
  readonly bucket?: string
}

interface ArmedFault {
  readonly fault: StubFault
  readonly scope: StubFaultScope
  left: number
}

const RATE_CHUNK_BYTES = 16 * 1024

/** An S3 server in memory for tests: path-style, checks every signature as AWS does, and fails on request. */
export async function startS3Stub(options: S3StubOptions = {}): Promise<S3Stub> {
  const {
    credentials = { accessKeyId: 'STUBACCESSKEY', secretAccessKey: 'stub-secret-key' },
    region = 'us-east-1',
    bucket = 'media',
  } = options
  const media = new StubBucket()
  const buckets = new Map([[bucket, media]])
  const journal: StubEntry[] = []
  const armed: ArmedFault[] = []
  const sockets = new Set<Socket>()
  let connections = 0

  const serve = async (incoming: IncomingMessage, response: ServerResponse) => {
    const body = await bodyOf(incoming)
    const headers = fieldsOf(incoming)
    const request = { method: incoming.method ?? '', target: incoming.url ?? '', headers }
    let answer: StubAnswer
    let call: StubCall | undefined
    let faults: readonly StubFault[] = []
    const entry = (status: number): StubEntry => ({
      operation: call?.operation ?? 'Unknown',
      bucket: call?.bucket ?? '',
      key: call?.key ?? '',
      range: headers['range'],
      ifMatch: headers['if-match'],
      status,
      sentBytes: 0,
    })
    try {
      call = callOf(request)
      const payload = verify({ ...request, body }, credentials, region, Date.now())
      faults = takeFaults(armed, call)
      for (const fault of faults) if (fault.kind === 'delay') await wait(fault.ms)
      for (const fault of faults)
        if (fault.kind === 'error') throw new S3Refusal(fault.status, fault.code, 'as asked')
      answer = answerFor(buckets, call, request, payload)
      if (faults.some((fault) => fault.kind === 'no-etag')) answer = withoutEtag(answer)
      if (faults.some((fault) => fault.kind === 'weak-etag')) answer = withWeakEtag(answer)
    } catch (error) {
      if (!(error instanceof S3Refusal)) throw error
      answer = refusalAnswer(error)
    }
    const line = entry(answer.status)
    journal.push(line)
    for (const fault of faults)
      if (fault.kind === 'replace' && call)
        buckets.get(call.bucket)?.put(call.key, Buffer.from(fault.bytes), {})
    await send(request, response, answer, faults, line)
  }

  const server = createServer((incoming, response) => {
    serve(incoming, response).catch(() => response.destroy())
  })
  server.keepAliveTimeout = 60_000
  server.on('connection', (socket) => {
    connections++
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region,
    bucket,
    credentials,
    journal,
    reads: (key) =>
      journal.filter(
        (entry) => entry.operation === 'GetObject' && (key === undefined || entry.key === key),
      ),
    forget: () => void journal.splice(0),
    put: (key, bytes, fields = {}) => void media.put(key, Buffer.from(bytes), fields),
    unfinishedUploads: () => media.uploads.size,
    connections: () => connections,
    fault: (fault, scope = {}) =>
      void armed.push({ fault, scope, left: scope.times ?? Number.POSITIVE_INFINITY }),
    clearFaults: () => void armed.splice(0),
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

function withoutEtag(answer: StubAnswer): StubAnswer {
  const text = answer.body.toString().replaceAll(/<ETag>.*?<\/ETag>/g, '')
  return { ...answer, body: Buffer.from(text) }
}

function withWeakEtag(answer: StubAnswer): StubAnswer {
  const { etag } = answer.headers
  return etag === undefined
    ? answer
    : { ...answer, headers: { ...answer.headers, etag: `W/${etag}` } }
}

function takeFaults(armed: ArmedFault[], call: StubCall): readonly StubFault[] {
  const due = armed.filter(
    ({ scope, left }) =>
      left > 0 &&
      (scope.operation === undefined || scope.operation === call.operation) &&
      (scope.key === undefined || scope.key === call.key),
  )
  for (const one of due) one.left--
  return due.map(({ fault }) => fault)
}

async function send(
  request: StubRequest,
  response: ServerResponse,
  answer: StubAnswer,
  faults: readonly StubFault[],
  entry: StubEntry,
): Promise<void> {
  const stop = faults.find((fault) => ['short', 'reset', 'hang'].includes(fault.kind))
  const afterBytes = stop && 'afterBytes' in stop ? stop.afterBytes : Number.POSITIVE_INFINITY
  const silent = stop !== undefined && stop.kind !== 'short' && afterBytes === 0
  if (!silent) {
    response.writeHead(answer.status, {
      'x-amz-request-id': 'stub',
      ...answer.headers,
      ...(answer.status === 204 || answer.status === 304
        ? {}
        : { 'content-length': String(answer.body.length) }),
    })
    const hasBody = request.method !== 'HEAD' && answer.status !== 304
    if (hasBody) await sendBody(response, answer.body.subarray(0, afterBytes), faults, entry)
  }
  if (stop === undefined || entry.sentBytes < afterBytes) response.end()
  else if (stop.kind === 'short') response.socket?.end()
  else if (stop.kind === 'reset') response.socket?.resetAndDestroy()
}

async function sendBody(
  response: ServerResponse,
  body: Buffer,
  faults: readonly StubFault[],
  entry: StubEntry,
): Promise<void> {
  const rate = faults.find((fault) => fault.kind === 'rate')
  const startedAt = performance.now()
  for (let at = 0; at < body.length && !response.destroyed; at += RATE_CHUNK_BYTES) {
    const chunk = rate ? body.subarray(at, at + RATE_CHUNK_BYTES) : body
    entry.sentBytes += chunk.length
    if (!response.write(chunk)) await drained(response)
    if (!rate) break
    const due = startedAt + (entry.sentBytes / rate.bytesPerSecond) * 1000
    if (due > performance.now()) await wait(due - performance.now())
  }
}

/** Also when the other side goes away. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.once('drain', done)
    response.once('close', done)
  })
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function fieldsOf(incoming: IncomingMessage): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const [name, value] of Object.entries(incoming.headers))
    if (value !== undefined) fields[name] = Array.isArray(value) ? value.join(',') : value
  return fields
}
