import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import type { StreamEnd } from '../../server/stream/live-stream.ts'
import { StreamRegistry } from '../../server/stream/registry.ts'
import { openSrtListener } from '../../server/transcode/srt-listener.ts'
import { FakeClock } from '../support/fake-clock.ts'

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

/** Four seconds of a test picture and a tone over SRT; resolves with the exit code. */
async function call(port: number, codec = 'libx264'): Promise<number> {
  const media =
    `-nostdin -v error -re -f lavfi -i testsrc2=s=320x180:r=30 -re -f lavfi -i sine=r=48000 ` +
    `-c:v ${codec} -g 30 -pix_fmt yuv420p -c:a aac -t 4 -f mpegts`
  const url = `srt://127.0.0.1:${port}?passphrase=${PASSPHRASE}`
  // One that waits for an answer that never comes is not waited for.
  const child = spawn('ffmpeg', [...media.split(' '), url], { stdio: 'ignore', timeout: 15_000 })
  const [code] = await once(child, 'close')
  return Number(code)
}

test('one caller after another publishes on the port, and nothing is encoded again', async () => {
  const registry = new StreamRegistry(systemClock, systemRandom)
  const published: { codecs: readonly string[]; frames: number; end: StreamEnd | undefined }[] = []
  registry.observe((stream) => {
    const one = {
      codecs: [] as readonly string[],
      frames: 0,
      end: undefined as StreamEnd | undefined,
    }
    published.push(one)
    stream.addReader({
      onTracks: (tracks) => {
        one.codecs = tracks.map(({ codec }) => codec)
      },
      onFrame: () => {
        one.frames++
      },
      onEnd: (end) => {
        one.end = end
      },
    })
  })
  const port = await freeUdpPort()
  const srt = { name: 'main', host: '127.0.0.1', port, passphrase: PASSPHRASE }
  const listener = openSrtListener(srt, {
    registry,
    ffmpeg: { path: undefined },
    clock: systemClock,
    log: silentLog,
  })
  expect(listener.report()).toMatchObject({ kind: 'srt', name: 'main', port, state: 'listening' })
  // Who calls before ffmpeg listens is turned away.
  for (const count of [1, 2]) while (published.length < count) await call(port)
  while (published[0]?.end === undefined) await call(port)
  expect(published[0]).toMatchObject({ codecs: ['avc', 'aac'], end: 'lost' })
  expect(published[0]?.frames).toBeGreaterThan(200)
  expect(JSON.stringify(listener.report())).not.toContain(PASSPHRASE)
  listener.close()
  // Two ffmpegs start for each caller, and what is sent takes its time.
}, 120_000)

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
