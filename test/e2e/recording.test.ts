import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type ReadMedia, readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { publishPicture } from '../support/publish-picture.ts'
import { type S3Stub, startS3Stub } from '../support/s3-stub.ts'
import { startServer, type TestServer } from '../support/server.ts'

const PATIENCE = { timeout: 60_000, interval: 300 }

let stub: S3Stub
beforeAll(async () => {
  stub = await startS3Stub()
})
afterAll(() => stub.close())

function start(data: string): Promise<TestServer> {
  const { endpoint, bucket, region, credentials } = stub
  return startServer({
    data,
    config: JSON.stringify({
      live: { record: 'shows' },
      origins: { shows: { kind: 's3', bucket, region, endpoint, pathStyle: true, prefix: 'tv' } },
    }),
    env: {
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
  })
}

interface Listed {
  readonly recordings: readonly {
    readonly key: string
    readonly id: string
    readonly state: string
    readonly seconds: number
    readonly playlist: string
  }[]
}

async function listOf(server: TestServer): Promise<Listed['recordings']> {
  const { body } = await server.api('GET', '/recordings?stream=main')
  // The API's own answer.
  return (body as Listed).recordings
}

async function mediaAt(server: TestServer, path: string): Promise<ReadMedia> {
  const answer = await fetch(server.http + path)
  expect(answer.status).toBe(200)
  const playlist = readPlaylist(await answer.text())
  if (playlist.kind !== 'media') throw new Error('no media playlist')
  return playlist
}

/** What ffmpeg says of pictures and sound to their end, and how many pictures there were. */
async function decode(url: string): Promise<{ readonly said: string; readonly pictures: number }> {
  const args = ['-v', 'error', '-nostdin', '-progress', 'pipe:1', '-i', url]
  const maps = ['-map', '0:v', '-map', '0:a', '-fps_mode', 'passthrough', '-f', 'null', '-']
  const { stdout, stderr } = await promisify(execFile)('ffmpeg', [...args, ...maps])
  const frames = [...stdout.matchAll(/^frame=(\d+)$/gm)].at(-1)?.[1]
  return { said: stderr, pictures: Number(frames) }
}

test('what kill -9 cut off while its bucket failed plays from the bucket up to its last closed segment, is clipped, and removed', async () => {
  const data = await mkdtemp(join(tmpdir(), 'nearcast-recording-'))
  const first = await start(data)
  const publisher = publishPicture(`${first.rtmp}/${first.streamKey}`)
  const recorded = (seconds: number) =>
    vi.waitFor(async () => {
      const [recording] = await listOf(first)
      expect(recording?.state).toBe('recording')
      expect(recording?.seconds).toBeGreaterThan(seconds)
      return recording
    }, PATIENCE)
  await recorded(3)
  stub.fault({ kind: 'error', status: 503, code: 'SlowDown' }, { operation: 'PutObject' })
  await vi.waitFor(async () => {
    const { body } = await first.api('GET', '/health')
    expect(JSON.stringify(body)).toContain('origin shows cannot be written')
  }, PATIENCE)
  const running = await recorded(7)
  if (!running) throw new Error('nothing is recorded')
  const folder = `/vod/${running.key}/`
  const before = await mediaAt(first, `${folder}video.m3u8`)
  expect(before.endList).toBe(false)
  process.kill(first.pid, 'SIGKILL')
  await publisher.stop()
  await first.stop({ keep: true })
  stub.clearFaults()

  const second = await start(data)
  try {
    const after = await mediaAt(second, `${folder}video.m3u8`)
    expect(after.endList).toBe(true)
    const uris = after.segments.map(({ uri }) => uri)
    expect(uris.slice(0, before.segments.length)).toEqual(before.segments.map(({ uri }) => uri))
    expect(after.segments.filter(({ gap }) => gap)).toEqual([])
    const whole = await decode(second.http + running.playlist)
    expect(whole.said).toBe('')
    const seconds = after.segments.reduce((sum, one) => sum + one.durationSeconds, 0)
    expect(Math.abs(whole.pictures - seconds * 30)).toBeLessThan(3)
    const page = await fetch(`${second.http}/watch${folder.slice(0, -1)}`)
    expect([page.status, (await page.text()).includes(running.playlist)]).toEqual([200, true])

    const made = await second.api('POST', '/streams/main/clips', { from: -3, to: -1 })
    expect(made.status).toBe(201)
    const { playlist } = made.body as { readonly playlist: string }
    await vi.waitFor(async () => {
      expect((await listOf(second)).map(({ state }) => state)).toEqual(['complete'])
    }, PATIENCE)
    expect((await second.api('DELETE', `/recordings/main/${running.id}`)).status).toBe(204)
    await vi.waitFor(async () => expect(await listOf(second)).toEqual([]), PATIENCE)
    expect((await fetch(second.http + running.playlist)).status).toBe(404)
    const clip = await decode(second.http + playlist)
    expect(clip.said).toBe('')
    expect(clip.pictures).toBeGreaterThanOrEqual(60)
  } finally {
    await second.stop()
    await rm(data, { recursive: true, force: true })
  }
}, 180_000)
