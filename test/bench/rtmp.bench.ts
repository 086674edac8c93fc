import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../server/lib/clock.ts'
import { listen } from '../../server/lib/listen.ts'
import { MESSAGE } from '../../server/rtmp/messages.ts'
import { AUDIO_HEADER, picture, SOUND, VIDEO_HEADER } from '../ingest/start-listener.ts'
import { RtmpClient } from '../support/rtmp-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { atMost, median, quantile, report, type Row } from './report.ts'

// RTMP in to RTMP out, joining, CPU beside nginx-rtmp (Debian's libnginx-mod-rtmp) in the same seconds, and a player that never reads.
// npm run bench -- rtmp [seconds]
const SECONDS = Number(process.argv[2] ?? 20)
const JOINS = 20
const PLAYERS = 50
const FRAME_MS = 1000 / 30
const SOUND_MS = 1024 / 48
const GROUP = 30
/** With the key frames 2.66 Mbit/s. */
const INTER_BYTES = 9600
const KEY_BYTES = 44_000
const SOUND_BYTES = 330
/** Of the stream whose player reads nothing. */
const HEAVY = 8
const MIB = 2 ** 20
/** Linux counts CPU time in these. */
const TICKS_PER_SECOND = 100

interface Target {
  readonly name: string
  readonly port: number
  readonly key: string
  /** Seconds of CPU so far. */
  cpu(): number
}

const rows: Row[] = []
const folder = mkdtempSync(join(tmpdir(), 'nearcast-bench-'))

/** Sends a stream in real time, and remembers when each picture left. */
class Publisher {
  readonly target: Target
  readonly sentAt = new Map<number, number>()
  newestMs = 0
  readonly #client: RtmpClient
  readonly #times: number
  readonly #startedAt = systemClock.monotonic()
  readonly #ticking: Disposable
  #pictures = 0
  #sounds = 0

  static async start(target: Target, times: number): Promise<Publisher> {
    const client = await RtmpClient.publishing(target.port, target.key)
    client.send(MESSAGE.video, VIDEO_HEADER)
    client.send(MESSAGE.audio, AUDIO_HEADER)
    return new Publisher(target, client, times)
  }

  private constructor(target: Target, client: RtmpClient, times: number) {
    this.target = target
    this.#client = client
    this.#times = times
    this.#ticking = systemClock.every(5, () => this.#send())
  }

  stop(): void {
    this.#ticking[Symbol.dispose]()
    this.#client.socket.destroy()
  }

  #send(): void {
    const now = systemClock.monotonic() - this.#startedAt
    while (this.#sounds * SOUND_MS <= now) {
      const body = Buffer.concat([SOUND, Buffer.alloc(SOUND_BYTES)])
      this.#client.send(MESSAGE.audio, body, Math.round(this.#sounds++ * SOUND_MS))
    }
    while (this.#pictures * FRAME_MS <= now) {
      const key = this.#pictures % GROUP === 0
      const ms = Math.round(this.#pictures++ * FRAME_MS)
      const body = picture(key, this.#times * (key ? KEY_BYTES : INTER_BYTES))
      this.newestMs = ms
      this.sentAt.set(ms, systemClock.monotonic())
      this.#client.send(MESSAGE.video, body, ms)
    }
  }
}

/** A player that tells of each picture as it comes and keeps none. */
async function play(target: Target, onPicture: (timestamp: number) => void): Promise<RtmpClient> {
  const player = await RtmpClient.playing(target.port, 'main')
  const take = () => {
    for (const message of player.messages.splice(0))
      if (message.type === MESSAGE.video && message.payload[1] === 1) onPicture(message.timestamp)
  }
  player.socket.on('data', take)
  take()
  return player
}

type Publishers = readonly [Publisher, Publisher]

async function measureLatency(publishers: Publishers): Promise<void> {
  const measured: number[][] = []
  for (const publisher of publishers) {
    const delays: number[] = []
    let settled = false
    const player = await play(publisher.target, (timestamp) => {
      const sent = publisher.sentAt.get(timestamp)
      if (settled && sent !== undefined) delays.push(systemClock.monotonic() - sent)
    })
    await systemClock.sleep(1000)
    settled = true
    await systemClock.sleep(SECONDS * 1000)
    player.socket.destroy()
    measured.push(delays)
  }
  const [ours = [], theirs = []] = measured
  const beside = (share: number) =>
    `nginx-rtmp ${quantile(theirs, share).toFixed(2)}, ${ours.length} pictures`
  rows.push(fine('RTMP in to RTMP out, p50', 0.5, quantile(ours, 0.5), beside(0.5)))
  rows.push(fine('RTMP in to RTMP out, p99', 2, quantile(ours, 0.99), beside(0.99)))
}

async function measureJoins(publishers: Publishers): Promise<void> {
  const firsts: number[][] = []
  const lags: number[][] = []
  for (const publisher of publishers) {
    const first: number[] = []
    const lag: number[] = []
    for (let join = 0; join < JOINS; join++) {
      // At ever other places of a group of pictures.
      await systemClock.sleep(137)
      const began = systemClock.monotonic()
      let newest = 0
      let firstAt: number | undefined
      const player = await play(publisher.target, (timestamp) => {
        firstAt ??= systemClock.monotonic()
        newest = timestamp
      })
      while (firstAt === undefined) await systemClock.sleep(1)
      first.push(firstAt - began)
      await systemClock.sleep(1000)
      lag.push(publisher.newestMs - newest)
      player.socket.destroy()
    }
    firsts.push(first)
    lags.push(lag)
  }
  const [ours = [], theirs = []] = firsts
  const [ourLag = [], theirLag = []] = lags
  rows.push(
    fine(
      `joining: first picture, worst of ${JOINS}`,
      50,
      Math.max(...ours),
      `median ${median(ours).toFixed(1)}; nginx-rtmp ${median(theirs).toFixed(0)} to ${Math.max(...theirs).toFixed(0)}`,
    ),
    // The newest picture may be on its way.
    fine(
      'one second later, behind what was sent',
      40,
      Math.max(...ourLag),
      `nginx-rtmp ${Math.max(...theirLag).toFixed(0)}`,
    ),
  )
}

async function measureCpu(publishers: Publishers): Promise<void> {
  const targets = publishers.map(({ target }) => target)
  const alone = await cpuDuring(targets)
  const players: RtmpClient[] = []
  for (const target of targets)
    for (let i = 0; i < PLAYERS; i++) players.push(await play(target, () => {}))
  await systemClock.sleep(2000)
  const watched = await cpuDuring(targets)
  for (const player of players) player.socket.destroy()
  const [our = 0, their = 0] = alone
  const more = watched.map((seconds, i) => seconds - (alone[i] ?? 0))
  const [ourMore = 0, theirMore = 0] = more
  const said = (a: number, b: number) =>
    `${((a * 60) / SECONDS).toFixed(2)} s a minute to ${((b * 60) / SECONDS).toFixed(2)}`
  rows.push(
    fine('CPU of nginx-rtmp: one stream, HLS on both', 3.5, our / their, said(our, their), 'times'),
    fine(
      `CPU of nginx-rtmp: ${PLAYERS} players more`,
      1,
      ourMore / theirMore,
      said(ourMore, theirMore),
      'times',
    ),
  )
}

async function cpuDuring(targets: readonly Target[]): Promise<readonly number[]> {
  const before = targets.map((target) => target.cpu())
  await systemClock.sleep(SECONDS * 1000)
  return targets.map((target, i) => target.cpu() - (before[i] ?? 0))
}

/** Its bound is 16 MiB and 5 s; after 10 s without a byte its connection is cut. */
async function measureDeafPlayer(own: TestServer, target: Target): Promise<void> {
  const publisher = await Publisher.start(target, HEAVY)
  await systemClock.sleep(10_000)
  const before = await besidesWindow(own)
  const player = await RtmpClient.playing(target.port, 'main')
  player.socket.pause()
  const grown: number[] = []
  for (let second = 0; second < 30; second++) {
    await systemClock.sleep(1000)
    grown.push(((await besidesWindow(own)) - before) / MIB)
  }
  const bound = Math.max(...grown.slice(0, 12))
  const later = Math.max(...grown.slice(20))
  rows.push({
    figure: `a player that reads nothing, ${(2.66 * HEAVY).toFixed(0)} Mbit/s: memory of 30 s`,
    asked: 'flat after its bound',
    measured: `+${bound.toFixed(0)} MiB in 12 s, then up to +${later.toFixed(0)}`,
    holds: later <= bound + 8,
  })
  player.socket.destroy()
  publisher.stop()
}

/** Memory without the media that the live window holds for viewers of HLS, which grows for two minutes with or without a player. */
async function besidesWindow(own: TestServer): Promise<number> {
  const authorization = `Bearer ${own.ready.adminToken}`
  const metrics = await fetch(`${own.control}/metrics`, { headers: { authorization } })
  const [, held] = /^nearcast_live_window_bytes (\S+)$/m.exec(await metrics.text()) ?? []
  if (held === undefined) throw new Error(`no window in the metrics: ${metrics.status}`)
  return memoryOf(own.pid) - Number(held)
}

/** To the hundredth: these figures are small. */
function fine(figure: string, limit: number, value: number, more: string, unit = 'ms'): Row {
  const row = atMost(figure, limit, value, unit)
  return { ...row, measured: `${value.toFixed(2)} ${unit} (${more})` }
}

/** User and system time, proc(5) /proc/PID/stat. */
function cpuOf(pid: number): number {
  const [, , ...fields] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/\(.*\)/, '-')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

function memoryOf(pid: number): number {
  const [, kilobytes] =
    /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

async function startNginxRtmp() {
  const free = createServer()
  const port = await listen(free, { name: 'rtmp', host: '127.0.0.1', port: 0 })
  await new Promise((resolve) => free.close(resolve))
  const at = (file: string) => join(folder, file)
  writeFileSync(
    at('nginx.conf'),
    `load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
${process.getuid?.() === 0 ? 'user root; ' : ''}daemon off; master_process off; pid ${at('pid')}; error_log ${at('error.log')};
events { worker_connections 1024; }
rtmp { server { listen 127.0.0.1:${port}; chunk_size 4096;
  application live { live on; wait_key on; hls on; hls_path ${at('hls')}; hls_fragment 2s; } } }
`,
  )
  const child: ChildProcess = spawn('nginx', ['-c', at('nginx.conf'), '-e', at('error.log')], {
    stdio: 'ignore',
  })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  for (;;) {
    if (child.exitCode !== null)
      throw new Error(`nginx-rtmp did not start: ${readFileSync(at('error.log'), 'utf8')}`)
    const client = await RtmpClient.open(port).catch(() => undefined)
    client?.socket.destroy()
    if (client) break
    await systemClock.sleep(50)
  }
  return {
    port,
    cpu: () => cpuOf(child.pid ?? 0),
    stop: () => {
      process.off('exit', kill)
      kill()
    },
  }
}

const server = await startServer()
const nginx = await startNginxRtmp()
try {
  const ours: Target = {
    name: 'nearcast',
    port: Number(new URL(server.rtmp).port),
    key: server.streamKey,
    cpu: () => cpuOf(server.pid),
  }
  const theirs: Target = { name: 'nginx-rtmp', port: nginx.port, key: 'main', cpu: nginx.cpu }
  const publishers = [await Publisher.start(ours, 1), await Publisher.start(theirs, 1)] as const
  await systemClock.sleep(3000)
  await measureLatency(publishers)
  await measureJoins(publishers)
  await measureCpu(publishers)
  for (const publisher of publishers) publisher.stop()
  await measureDeafPlayer(server, ours)
} finally {
  await server.stop()
  nginx.stop()
  rmSync(folder, { recursive: true, force: true })
}
report(rows)
