import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { expect, it, vi } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { openS3Store } from '../../server/storage/s3.ts'
import { startWebServer } from '../support/web-server.ts'
import { readText } from './object-store.contract.ts'

// Services that are not as the stub is.

it('refuses a service that answers another range than was asked', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () =>
      socket.end('HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 10\r\n\r\n0123456789'),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const store = openS3Store(
    {
      bucket: 'b',
      prefix: '',
      region: 'r',
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      pathStyle: true,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    },
    { clock: systemClock, log: silentLog },
  )
  const { signal } = new AbortController()
  const asked = store.read('k', { signal, range: { start: 2, end: 3 } })
  await expect(asked).rejects.toMatchObject({ code: 'store-failed' })
  const pinned = store.read('k', { signal, ifMatch: 'y' })
  await expect(pinned).rejects.toMatchObject({ code: 'object-changed' })
  expect(await readText(store.read('k', { signal }))).toBe('0123456789')
  await store.close()
  server.close()
})

it('sums every part at AWS, and says so at the beginning and the end of the upload', async () => {
  const seen: string[] = []
  const service = await startWebServer(async (request, response) => {
    let text = ''
    for await (const chunk of request.setEncoding('latin1')) text += chunk
    const sum = String(request.headers['x-amz-checksum-crc32'])
    if (request.method === 'PUT') {
      seen.push(`part ${sum}`)
      response.writeHead(200, { etag: '"x"', 'x-amz-checksum-crc32': sum }).end()
    } else if (request.url?.includes('uploads')) {
      seen.push(`begin ${String(request.headers['x-amz-checksum-algorithm'])}`)
      response.end('<R><UploadId>u</UploadId></R>')
    } else {
      seen.push(...[...text.matchAll(/<ChecksumCRC32>(.*?)</g)].map(([, said]) => `end ${said}`))
      response.end('<R><ETag>"x-2"</ETag></R>')
    }
  })
  // How the SDK is led elsewhere while it takes the service for AWS.
  vi.stubEnv('AWS_ENDPOINT_URL_S3', service.url)
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
  const options = { bucket: 'b', prefix: '', region: 'us-east-1', pathStyle: true, credentials }
  const deps = { clock: systemClock, log: silentLog }
  const store = openS3Store({ ...options, endpoint: undefined }, deps)
  const { signal } = new AbortController()
  await store.write('k', Buffer.alloc(8 * 1024 * 1024 + 1), { signal })
  vi.unstubAllEnvs()
  const [begin, ...sums] = seen
  expect(begin).toBe('begin CRC32')
  expect(sums).toEqual(['part GtK8RQ==', 'part 0gLvjQ==', 'end GtK8RQ==', 'end 0gLvjQ=='])
  await store.close()
  await service.close()
})

it('never repeats the password that an endpoint carries', async () => {
  const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
  const options = { bucket: 'b', prefix: '', region: 'r', pathStyle: true, credentials }
  const deps = { clock: systemClock, log: silentLog }
  const store = openS3Store({ ...options, endpoint: 'http://user:hidden@127.0.0.1:1' }, deps)
  const { signal } = new AbortController()
  const failure = await store.read('k', { signal }).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'store-unreachable' })
  expect(String(failure) + store.description).not.toContain('hidden')
  for (const endpoint of ['no url', 'localhost:9000'])
    expect(() => openS3Store({ ...options, endpoint }, deps)).toThrow('config-invalid')
})
