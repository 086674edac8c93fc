import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface RealS3 {
  readonly endpoint: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly bucket: string
  readonly region: string
}

/** The script's exit code when Ceph can't be installed. */
const MISSING = 3

/** The S3 server that `npm run test:s3` has started. */
export function realS3(): RealS3 {
  // oxlint-disable-next-line node/no-process-env -- how vitest's set-up hands it to the tests
  const text = process.env['NEARCAST_TEST_S3']
  if (text === undefined) throw new Error('NEARCAST_TEST_S3 is not set: run npm run test:s3')
  return JSON.parse(text) as RealS3
}

/** vitest's global set-up: starts radosgw unless NEARCAST_TEST_S3 already names a server, and gives what stops it. */
export async function setup(): Promise<(() => Promise<void>) | undefined> {
  // oxlint-disable-next-line node/no-process-env -- how the tests, in threads of this process, get it
  const { env } = process
  if (env['NEARCAST_TEST_S3'] !== undefined) return undefined
  const { real, stop } = await startRadosgw(3)
  await makeBucket(real)
  env['NEARCAST_TEST_S3'] = JSON.stringify(real)
  return stop
}

/** A port that was free may be taken before Ceph binds it, and Ceph cannot choose its own: then it is tried with others. */
async function startRadosgw(
  attempts: number,
): Promise<{ readonly real: RealS3; readonly stop: () => Promise<void> }> {
  const [port, monitorPort] = await freePorts()
  const accessKeyId = 'NEARCASTTESTKEY'
  const secretAccessKey = 'nearcast-test-secret'
  const script = fileURLToPath(new URL('./start-radosgw.sh', import.meta.url))
  const server = spawn(script, [`${port}`, `${monitorPort}`, accessKeyId, secretAccessKey], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(server, 'exit')
  const ready = once(createInterface(server.stdout), 'line')
  const [first] = await Promise.race([ready, ended])
  if (first === MISSING || (first !== 'ready' && attempts === 1))
    throw new Error('no S3 server could be started; its own words are above')
  if (first !== 'ready') return startRadosgw(attempts - 1)
  const endpoint = `http://127.0.0.1:${port}`
  const stop = async () => {
    server.stdin.end()
    await ended
  }
  return {
    real: { endpoint, accessKeyId, secretAccessKey, bucket: 'media', region: 'us-east-1' },
    stop,
  }
}

async function makeBucket({ endpoint, region, bucket, ...credentials }: RealS3): Promise<void> {
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true })
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  client.destroy()
}

async function freePorts(): Promise<readonly [number, number]> {
  const servers = [createServer(), createServer()]
  const ports: number[] = []
  for (const server of servers) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    ports.push((server.address() as AddressInfo).port)
  }
  for (const server of servers) server.close()
  const [first = 0, second = 0] = ports
  return [first, second]
}
