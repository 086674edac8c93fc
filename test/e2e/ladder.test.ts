import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readPlaylist, type ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import { violationsOf } from '../support/hls-conformance.ts'
import { type FfmpegRun, publishPicture } from '../support/publish-picture.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { writeFakeFfmpeg } from '../transcode/ladder-fixture.ts'

const PATIENT = { timeout: 100_000, interval: 50 }
const CONFIG = 'live: { ladder: [{ height: 120 }, { height: 90, bitsPerSecond: 150000 }] }\n'
let folder: string
let server: TestServer
let publisher: FfmpegRun | undefined

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-noted-'))
  const path = await writeFakeFfmpeg(folder, `echo $$ >> '${folder}/pids'; exec ffmpeg "$@"`)
  server = await startServer({ config: CONFIG, env: { FFMPEG_PATH: path } })
})
afterAll(async () => {
  await publisher?.stop()
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

async function playlist(file: string) {
  const answer = await fetch(`${server.http}/live/main/${file}`)
  return answer.ok ? readPlaylist(await answer.text()) : undefined
}

async function media(file: string): Promise<ReadMedia | undefined> {
  const read = await playlist(file)
  return read?.kind === 'media' ? read : undefined
}

it('lists every rung in the first master playlist, with what its pictures then are', async () => {
  // Encoders are tried right after the start, beside everything else.
  await expect.poll(() => server.output(), PATIENT).toContain('encoder of ladders')
  publisher = publishPicture(`${server.rtmp}/${server.streamKey}`)
  let first: Awaited<ReturnType<typeof playlist>>
  await expect
    .poll(async () => {
      first ??= await playlist('index.m3u8')
      return first?.kind
    }, PATIENT)
    .toBe('multivariant')
  if (first?.kind !== 'multivariant') throw new Error('not a master')
  expect(first.variants.map(({ uri }) => uri)).toEqual([
    'video-t12.m3u8',
    'v120-t12.m3u8',
    'v90-t12.m3u8',
  ])
  await expect
    .poll(async () => (await media('v90-t1.m3u8'))?.segments.length ?? 0, PATIENT)
    .toBeGreaterThan(5)
  const later = await playlist('index.m3u8')
  if (later?.kind !== 'multivariant') throw new Error('not a master')
  expect(
    later.variants.map(({ attributes }) => [attributes['CODECS'], attributes['RESOLUTION']]),
  ).toEqual(
    first.variants.map(({ attributes }) => [attributes['CODECS'], attributes['RESOLUTION']]),
  )
})

it('cuts its rungs where the source is cut', async () => {
  const [source, ...rungs] = await Promise.all(
    ['video-t1.m3u8', 'v120-t1.m3u8', 'v90-t1.m3u8'].map(media),
  )
  if (!source) throw new Error('no source')
  for (const rung of rungs) {
    if (!rung) throw new Error('no rung')
    expect(violationsOf(rung)).toEqual([])
    const whole = rung.segments.filter(({ parts, gap }) => !gap && parts.length > 0).slice(0, -1)
    for (const { sequence, startedAt, durationSeconds } of whole.slice(1)) {
      const same = source.segments.find((one) => one.sequence === sequence)
      expect(startedAt).toBe(same?.startedAt)
      expect(durationSeconds).toBeCloseTo(same?.durationSeconds ?? 0, 2)
    }
  }
})

it('shows the operator how the rungs are doing', async () => {
  const told = async () => (await server.api('GET', '/streams/main')).body
  await expect.poll(told, PATIENT).toMatchObject({
    ladder: { state: 'on', encoder: 'libx264', rungs: [{ id: 'v120' }, { id: 'v90' }] },
  })
})

it('leaves no encoder behind when it is killed', async () => {
  const running = async () =>
    (await readFile(join(folder, 'pids'), 'utf8')).trim().split('\n').map(Number).filter(isAlive)
  // On a busy machine one may have just made room for the next one.
  await expect.poll(running, PATIENT).not.toEqual([])
  process.kill(server.pid, 'SIGKILL')
  await expect.poll(running, PATIENT).toEqual([])
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
