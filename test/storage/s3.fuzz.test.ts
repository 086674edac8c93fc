import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { collect } from '../../server/lib/bytes.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { silentLog } from '../../server/lib/log.ts'
import { openS3Store } from '../../server/storage/s3.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const STATUSES = [200, 206, 301, 304, 400, 403, 404, 412, 416]
const FIELDS = [
  'ETag: "x"',
  'ETag: W/"',
  'Content-Range: bytes 0-2/3',
  'Content-Range: bytes 2-1/0',
  'Content-Range: bytes */3',
  'Last-Modified: yesterday',
  'Content-Type: application/xml',
  'x-amz-meta-__proto__: y',
]
const BODIES = [
  '',
  'abc',
  '<Error><Code>NoSuchKey</Code></Error>',
  '<Error><Code>__proto__</Code>',
  '<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>%</Key></Contents></ListBucketResult>',
  '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY c "&b;&b;">]><ListBucketResult>&c;</ListBucketResult>',
]

it('gives an answer or an error of ours, whatever a service says', async () => {
  let answer = ''
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(answer))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const store = openS3Store(
    {
      bucket: 'b',
      prefix: '',
      region: 'us-east-1',
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      pathStyle: true,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    },
    { clock: systemClock, log: silentLog },
  )
  const range = { start: 0, end: 2 }
  const calls = [
    async (signal: AbortSignal) => collect((await store.read('k', { signal, range })).body),
    async (signal: AbortSignal) => collect((await store.read('k', { signal })).body),
    async (signal: AbortSignal) => store.stat('k', signal),
    async (signal: AbortSignal) => store.list('', { signal }),
    async (signal: AbortSignal) => store.write('k', Buffer.from('x'), { signal }),
    async (signal: AbortSignal) => store.remove('k', signal),
  ]
  const body = fc.oneof(fc.constantFrom(...BODIES), fc.string({ maxLength: 50 }))
  const fields = fc.subarray(FIELDS)
  const check = async (
    call: (typeof calls)[number],
    status: number,
    lines: string[],
    text: string,
  ) => {
    const head = [`HTTP/1.1 ${status} x`, ...lines, 'Connection: close']
    answer = `${head.join('\r\n')}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`
    await call(new AbortController().signal).catch((error: unknown) =>
      expect(error).toBeInstanceOf(NearcastError),
    )
  }
  const statuses = fc.constantFrom(...STATUSES)
  const property = fc.asyncProperty(fc.constantFrom(...calls), statuses, fields, body, check)
  await fc.assert(property, { numRuns: FUZZ_RUNS })
  await store.close()
  server.close()
})
