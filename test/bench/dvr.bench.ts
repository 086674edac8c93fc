import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { silentLog } from '../../server/lib/log.ts'
import { Archives } from '../../server/live/archives.ts'
import { WindowPlaylists } from '../../server/live/playlists.ts'
import { LiveWindow } from '../../server/live/window.ts'
import type { ObjectStore } from '../../server/storage/object-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { atMost, quantile, report } from './report.ts'

// Two hours of one stream of 2.66 Mbit/s in segments of a second and parts of 200 ms; its archive is written to nothing.
const SECONDS = 7200 + 120
const PARTS = 5
const RATES = { video: 332_500, audio: 12_000 }
const KIB = 1024
const MIB = KIB * KIB

const written = { bytes: 0, objects: 0 }
const nothing: ObjectStore = {
  description: 'nothing',
  stat: () => Promise.resolve(undefined),
  read: () => Promise.reject(new Error('nothing is kept')),
  async write(key, body) {
    let size = 0
    if (body instanceof Uint8Array) size = body.length
    else for await (const piece of body) size += piece.length
    written.bytes += size
    written.objects++
    return { key, size, etag: 'e', lastModified: 0 }
  },
  list: () => Promise.resolve({ objects: [], prefixes: [] }),
  remove: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

const clock = new FakeClock()
const folder = await mkdtemp(join(tmpdir(), 'nearcast-dvr-'))
const limits = { bytes: 256 * MIB }
const archives = new Archives({
  folder,
  local: nothing,
  storeOf: () => nothing,
  queueBytes: 0,
  limits,
  clock,
  log: silentLog,
})
await archives.resume([])
const window = new LiveWindow(
  {
    kind: 'open',
    id: 'bench',
    name: 'main',
    bornAt: clock.now(),
    windowSeconds: 60,
    dvrSeconds: 7200,
  },
  limits,
)
archives.watch(window)
window.apply({ kind: 'publish', epoch: 'e1' })
window.apply({ kind: 'pace', partTargetSeconds: 0.2 })
window.apply({ kind: 'promise', targets: [1], current: 1, floor: 1 })
for (const rendition of ['video', 'audio'] as const)
  window.apply({
    kind: 'init',
    rendition,
    uri: `e1/${rendition}-init-1.mp4`,
    facts: {
      kind: rendition,
      codecString: rendition === 'video' ? 'avc1.64001f' : 'mp4a.40.2',
      width: 1280,
      height: 720,
      channels: 2,
      language: '',
    },
    bytes: Buffer.alloc(700),
  })

const playlists = new WindowPlaylists(window)
const name = { span: 'dvr', rendition: 'video', target: 1 } as const
const full: number[] = []
const compressed: number[] = []
const delta: number[] = []
let deltaBytes = 0
let fullBytes = 0
setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')
collectGarbage()
const before = process.memoryUsage()

for (let sequence = 0; sequence < SECONDS; sequence++) {
  for (const rendition of ['video', 'audio'] as const)
    window.apply({
      kind: 'segment',
      rendition,
      sequence,
      epoch: 'e1',
      init: `e1/${rendition}-init-1.mp4`,
      startedAt: clock.now(),
      discontinuity: false,
      discontinuitySequence: 0,
      gapSeconds: 0,
    })
  for (let index = 0; index < PARTS; index++) {
    for (const rendition of ['video', 'audio'] as const)
      window.apply({
        kind: 'part',
        rendition,
        sequence,
        index,
        durationSeconds: 0.2,
        independent: index === 0,
        samples: 6,
        bytes: Buffer.allocUnsafe(RATES[rendition] / PARTS),
      })
    if (sequence > SECONDS - 100) measure()
  }
  for (const rendition of ['video', 'audio'] as const)
    window.apply({ kind: 'close', rendition, sequence })
  await clock.advance(1000)
  while (archives.waitingSegments > 0) await new Promise((resolve) => setImmediate(resolve))
}
collectGarbage()
const after = process.memoryUsage()
const grown = after.heapUsed + after.external - before.heapUsed - before.external
await archives.close(1000)
await rm(folder, { recursive: true, force: true })

console.log(
  `${written.objects} objects and ${Math.round(written.bytes / MIB)} MiB went to the store`,
)
report([
  atMost('media bytes in memory', 48, window.byteLength / MIB, 'MiB'),
  atMost('memory of it all', 64, grown / MIB, 'MiB'),
  atMost('2-hour playlist for each part, p95', 1, quantile(full, 0.95), 'ms', sizeOf(fullBytes)),
  atMost('the same in gzip, p95', 1, quantile(compressed, 0.95)),
  atMost('its delta update, p95', 1, quantile(delta, 0.95)),
  atMost('bytes of the delta update', 4 * KIB, deltaBytes, 'B'),
])

function measure(): void {
  const rendition = window.rendition('video')
  if (!rendition) return
  const [whole, wholeMs] = timed(() => playlists.media(name, rendition, 'nothing', 0))
  const [plain, plainMs] = timed(() => whole.plain)
  const [, gzipMs] = timed(() => whole.gzip)
  const [changes, deltaMs] = timed(() => playlists.media(name, rendition, 'segments', 0).plain)
  full.push(wholeMs + plainMs)
  compressed.push(wholeMs + plainMs + gzipMs)
  delta.push(deltaMs)
  fullBytes = plain.reduce((sum, { length }) => sum + length, 0)
  deltaBytes = changes.reduce((sum, { length }) => sum + length, 0)
}

function timed<T>(act: () => T): readonly [T, number] {
  const start = performance.now()
  const value = act()
  return [value, performance.now() - start]
}

function sizeOf(bytes: number): string {
  return `${Math.round(bytes / KIB)} KiB`
}
