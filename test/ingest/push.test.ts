import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openPushes, type Pushes, type PushReport } from '../../server/ingest/pushes.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { listen } from '../../server/lib/listen.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { OUT_CHUNK_SIZE, writeSetChunkSize } from '../../server/rtmp/chunk-writer.ts'
import { RtmpConnection } from '../../server/rtmp/connection.ts'
import { readCommand } from '../../server/rtmp/read-command.ts'
import { writeConnectResult, writeResult, writeStatus } from '../../server/rtmp/write-command.ts'
import { StreamRegistry } from '../../server/stream/registry.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { eventually, KEY, startTestListener } from './start-listener.ts'

const MEDIA = await makeLiveMedia({ seconds: 4, gop: 30 })

let folder: string
const opened: Pushes[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-push-'))
})
afterEach(async () => {
  for (const one of opened.splice(0)) one.close()
  await rm(folder, { recursive: true, force: true })
})

async function pushing(clock = systemClock, ownPorts: readonly number[] = []) {
  const registry = new StreamRegistry(clock, systemRandom)
  const file = join(folder, 'pushes.json')
  const own = () => new Set(ownPorts)
  const deps = { registry, clock, random: systemRandom, log: silentLog, file, ownPorts: own }
  const pushes = await openPushes(deps)
  opened.push(pushes)
  const publish = () => {
    const publisher = { description: 'test', cut: () => {}, mayPublish: () => true }
    const stream = registry.publish('show', publisher)
    stream.setTracks(MEDIA.tracks)
    return stream
  }
  return { pushes, publish, file, deps }
}

/** Looks at the only target until it is as wanted. */
async function untilState(pushes: Pushes, wanted: (report: PushReport) => boolean) {
  for (;;) {
    const [report] = pushes.list('show')
    if (report && wanted(report)) return report
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** An RTMP server that says what a test wants. */
async function target(
  answer: (socket: Socket, command: ReturnType<typeof readCommand>) => void,
): Promise<{ readonly server: Server; readonly url: string; readonly sockets: Socket[] }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    const connection = new RtmpConnection({
      write: (bytes) => socket.write(bytes),
      onHandshake: () => {},
      onMessage: (message) => {
        const { type } = message
        if (type === 8 || type === 9 || type === 18) return
        const command = readCommand(message)
        if (command.kind === 'connect') {
          socket.write(writeSetChunkSize(OUT_CHUNK_SIZE))
          socket.write(writeConnectResult(command.transaction))
        }
        answer(socket, command)
      },
    })
    connection.allowMedia()
    socket.on('data', (bytes) => connection.push(bytes))
  })
  const port = await listen(server, { name: 'rtmp', host: '127.0.0.1', port: 0 })
  return { server, url: `rtmp://127.0.0.1:${port}/live`, sockets }
}

describe('pushing a stream to another service', () => {
  test('what is published here is live there, from a key frame on, and ends with it', async () => {
    const other = await startTestListener()
    const { pushes, publish } = await pushing()
    await pushes.add('show', { url: `rtmp://127.0.0.1:${other.port}/live`, key: KEY })
    const stream = publish()
    for (const frame of MEDIA.frames.slice(0, 60)) stream.write(frame)
    await eventually(() => (other.watched[0]?.frames.length ?? 0) > 10)
    for (const frame of MEDIA.frames.slice(60)) stream.write(frame)
    stream.end('ended')
    await eventually(() => other.watched[0]?.end === 'ended')
    const [there] = other.watched
    expect(there?.stream.tracks.map(({ codec }) => codec)).toEqual(['avc', 'aac'])
    expect(there?.frames[0]?.key).toBe(true)
    expect(there?.frames.at(-1)?.dts).toBe(MEDIA.frames.at(-1)?.dts)
    expect(await untilState(pushes, ({ state }) => state === 'idle')).toMatchObject({
      trouble: undefined,
      failures: 0,
    })
    await other.close()
  })

  test('a target that refuses is tried again, later and later, and its words repeat no key', async () => {
    const clock = new FakeClock()
    const refusing = await target((socket, command) => {
      if (command.kind === 'create-stream') socket.write(writeResult(command.transaction, 1))
      if (command.kind === 'publish')
        socket.write(
          writeStatus(1, 'error', 'NetStream.Publish.BadName', `no ${command.name} here`),
        )
    })
    const { pushes, publish } = await pushing(clock)
    const stream = publish()
    await pushes.add('show', { url: refusing.url, key: 'very-secret' })
    const first = await untilState(pushes, ({ state }) => state === 'backing-off')
    expect(first.trouble).toBe('the target refused: NetStream.Publish.BadName, no … here')
    await clock.advance(1000)
    await untilState(pushes, ({ failures, state }) => failures === 2 && state === 'backing-off')
    await clock.advance(1000)
    expect(pushes.list('show')[0]?.state).toBe('backing-off')
    await clock.advance(1000)
    await untilState(pushes, ({ failures }) => failures === 3)
    stream.end('ended')
    refusing.server.close()
  })

  test('a target that stops reading loses frames, the stream none, and is tried anew', async () => {
    const clock = new FakeClock()
    const stalling = await target((socket, command) => {
      if (command.kind === 'create-stream') socket.write(writeResult(command.transaction, 7))
      if (command.kind !== 'publish') return
      socket.write(writeStatus(7, 'status', 'NetStream.Publish.Start', ''))
      socket.pause()
    })
    const { pushes, publish } = await pushing(clock)
    const stream = publish()
    let seen = 0
    stream.addReader({ onTracks: () => {}, onFrame: () => seen++, onEnd: () => {} })
    await pushes.add('show', { url: stalling.url, key: 'k' })
    await untilState(pushes, ({ state }) => state === 'publishing')
    const big = Buffer.alloc(1_000_000, 1)
    big.writeUInt32BE(big.length - 4)
    const video = MEDIA.tracks.find(({ kind }) => kind === 'video')
    for (let i = 0; i < 60; i++) {
      const frame = { trackId: video?.id ?? 1, dts: i * 33, pts: i * 33, key: i % 10 === 0 }
      stream.write({ ...frame, data: big })
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(seen).toBe(60)
    const behind = await untilState(pushes, ({ droppedFrames }) => droppedFrames > 0)
    expect(behind.state).toBe('publishing')
    await clock.advance(10_000)
    const after = await untilState(pushes, ({ state }) => state !== 'publishing')
    expect(after.trouble).toBe('the target stopped reading')
    stream.end('ended')
    stalling.server.close()
    for (const socket of stalling.sockets) socket.destroy()
  })

  test('a stream is not sent to the server that it came in at', async () => {
    const other = await startTestListener()
    const ports: number[] = []
    const { pushes, publish } = await pushing(systemClock, ports)
    publish()
    const target = { url: `rtmp://localhost:${other.port}/live`, key: KEY }
    const { id } = await pushes.add('show', target)
    await pushes.remove('show', id)
    ports.push(other.port)
    await expect(pushes.add('show', target)).rejects.toThrow(
      `bad-request: url: ${target.url} is this server itself: the stream would come in again`,
    )
    expect(pushes.list('show')).toEqual([])
    expect(other.sessions()).toEqual([])
    await other.close()
  })

  test('a target that became this server, by another port or another name, is not connected to', async () => {
    const other = await startTestListener()
    const ports: number[] = []
    const { pushes, publish } = await pushing(systemClock, ports)
    await pushes.add('show', { url: `rtmp://localhost:${other.port}/live`, key: KEY })
    ports.push(other.port)
    publish()
    const { trouble } = await untilState(pushes, ({ state }) => state === 'backing-off')
    expect(trouble).toBe('the address is one of this server’s own')
    expect(other.sessions()).toEqual([])
    await other.close()
  })

  test('targets outlive a restart, in a file of the owner’s alone', async () => {
    const { pushes, file, deps } = await pushing()
    const address = { url: 'rtmp://127.0.0.1:1/live', key: 'secret' }
    const { id } = await pushes.add('show', address)
    expect(JSON.stringify(pushes.list('show'))).not.toContain('secret')
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const again = await openPushes(deps)
    opened.push(again)
    expect(again.list('show')).toMatchObject([{ id, url: address.url, state: 'idle' }])
    await expect(again.add('show', address)).rejects.toThrow(/^conflict/)
    await expect(again.remove('other', id)).rejects.toThrow(/^not-found/)
    await again.remove('show', id)
    expect(await readFile(file, 'utf8')).toBe('[]')
  })

  test.each(['http://a/b', 'rtmp://host', 'rtmp://u:p@host/app', 'nonsense'])(
    '%s is no address of a target',
    async (url) => {
      const { pushes } = await pushing()
      await expect(pushes.add('show', { url, key: 'k' })).rejects.toThrow(/^bad-request: url/)
    },
  )

  test('a stream has sixteen targets at most', async () => {
    const { pushes } = await pushing()
    const url = 'rtmp://127.0.0.1:1/live'
    for (let i = 0; i < 16; i++) await pushes.add('show', { url, key: `${i}` })
    await expect(pushes.add('show', { url, key: 'more' })).rejects.toThrow(/^limit-exceeded/)
  })
})
