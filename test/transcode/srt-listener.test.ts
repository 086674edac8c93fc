import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { FlvFileReader } from '../../server/formats/flv/flv-file-reader.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import type { StreamEnd } from '../../server/stream/live-stream.ts'
import { StreamRegistry } from '../../server/stream/registry.ts'
import { openSrtListener } from '../../server/transcode/srt-listener.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { convertFilm, makeFilm } from '../support/media.ts'
import { watchedFfmpeg } from './watched-ffmpeg.ts'

const PASSPHRASE = 'a long secret'.replaceAll(' ', '-')

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await once(socket, 'close')
  return port
}

/** Sends a film over SRT at its own pace, as it is; resolves with the exit code. */
async function call(port: number, film: string): Promise<number> {
  // Without lingering the caller takes with it, when it ends, what it has not yet sent.
  const url = `srt://127.0.0.1:${port}?passphrase=${PASSPHRASE}&linger=10`
  const args = ['-nostdin', '-v', 'error', '-re', '-i', film, '-c', 'copy', '-f', 'mpegts', url]
  // One that waits for an answer that never comes is not waited for.
  const child = spawn('ffmpeg', args, { stdio: 'ignore', timeout: 30_000 })
  const [code] = await once(child, 'close')
  return Number(code)
}

/** The access units of a film, as FLV has them. */
async function accessUnitsOf(film: string): Promise<string[]> {
  const units: string[] = []
  const reader = new FlvFileReader({
    onTracks: () => {},
    onFrame: ({ data }) => units.push(textOf(data)),
  })
  reader.push(await readFile(await convertFilm(['-i', film], ['-c', 'copy'], 'flv')))
  return units
}

const textOf = (data: Uint8Array) => Buffer.from(data).toString('base64')

test('one caller after another publishes on the port, and nothing is encoded again', async () => {
  const film = await makeFilm({ seconds: 2, extension: 'ts' })
  const sent = new Set(await accessUnitsOf(film))
  const registry = new StreamRegistry(systemClock, systemRandom)
  const published: { codecs: string[]; units: string[]; end: StreamEnd | undefined }[] = []
  registry.observe((stream) => {
    const one: (typeof published)[number] = { codecs: [], units: [], end: undefined }
    published.push(one)
    stream.addReader({
      onTracks: (tracks) => {
        one.codecs = tracks.map(({ codec }) => codec)
      },
      onFrame: ({ data }) => {
        one.units.push(textOf(data))
      },
      onEnd: (end) => {
        one.end = end
      },
    })
  })
  const port = await freeUdpPort()
  const { path, commandLines } = await watchedFfmpeg()
  const srt = { name: 'main', host: '127.0.0.1', port, passphrase: PASSPHRASE }
  const listener = openSrtListener(srt, {
    registry,
    ffmpeg: { path },
    clock: systemClock,
    log: silentLog,
  })
  expect(listener.report()).toMatchObject({ kind: 'srt', name: 'main', port, state: 'listening' })
  // Who calls before ffmpeg listens is turned away.
  for (const count of [1, 2]) while (published.length < count) await call(port, film)
  while (published[0]?.end === undefined) await call(port, film)
  expect(published[0]).toMatchObject({ codecs: ['avc', 'aac'], end: 'lost' })
  // SRT leaves out what comes too late, so not all of it need be here; what is here is what was sent.
  expect(published[0]?.units).not.toEqual([])
  expect(published[0]?.units.filter((unit) => !sent.has(unit))).toEqual([])
  expect(JSON.stringify(listener.report())).not.toContain(PASSPHRASE)
  // All users of a machine may read the process list.
  expect(await commandLines()).toContain('pipe:0')
  expect(await commandLines()).not.toContain(PASSPHRASE)
  listener.close()
  // Two ffmpegs start for each caller, and what is sent takes its time.
}, 300_000)

test('without ffmpeg the listener says so, and is tried again later and later', async () => {
  const clock = new FakeClock()
  const registry = new StreamRegistry(clock, systemRandom)
  const ffmpeg = { path: '/nowhere/ffmpeg' }
  const srt = { name: 'main', host: '127.0.0.1', port: 1, passphrase: undefined }
  const listener = openSrtListener(srt, { registry, ffmpeg, clock, log: silentLog })
  const backsOff = async () => {
    while (listener.report().state !== 'backing-off')
      await new Promise((resolve) => setImmediate(resolve))
  }
  await backsOff()
  expect(listener.report().trouble).toContain('ffmpeg was not found')
  await clock.advance(500)
  await backsOff()
  await clock.advance(500)
  expect(listener.report().state).toBe('backing-off')
  await clock.advance(500)
  await backsOff()
  listener.close()
})
