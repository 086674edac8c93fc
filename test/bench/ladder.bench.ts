import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../server/lib/clock.ts'
import { NICENESS } from '../../server/transcode/ffmpeg.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { sendInTime, startLadder, writeFakeFfmpeg } from '../transcode/ladder-fixture.ts'
import { atMost, median, quantile, report } from './report.ts'

// What a ladder adds to the way of a picture and what it costs: a 720p30 source, its rungs of 480 and 360 lines.
// npm run bench -- ladder [seconds]
const SECONDS = Number(process.argv[2] ?? 30)
const DELAY_P50_MS = 30
const DELAY_P99_MS = 200
/** A second in clock ticks of /proc/PID/stat. */
const TICKS = 100

const source = await makeLiveMedia({ seconds: 10, gop: 30, size: '1280x720', audio: false })
const folder = await mkdtemp(join(tmpdir(), 'nearcast-noted-'))
const path = await writeFakeFfmpeg(folder, `echo $$ > '${folder}/pid'; exec ffmpeg "$@"`)
const publishing = new AbortController()
await using live = await startLadder('auto', { ffmpeg: { path }, niceness: NICENESS })
const cameAt = new Map<number, number>()
live.stream.addReader({
  onTracks: () => {},
  onFrame: ({ pts }) => void cameAt.set(pts, systemClock.monotonic()),
  onEnd: () => {},
})
const delays = new Map<string, number[]>()
let measuring = false
const onFrame = live.sink.onFrame.bind(live.sink)
live.sink.onFrame = (id, frame) => {
  onFrame(id, frame)
  const at = cameAt.get(frame.pts)
  if (measuring && at !== undefined)
    delays.set(id, [...(delays.get(id) ?? []), systemClock.monotonic() - at])
}
void sendInTime(live.stream, source, publishing.signal)
await systemClock.sleep(5000)
measuring = true
const before = await cpuSeconds()
const own = process.cpuUsage()
await systemClock.sleep(SECONDS * 1000)
const cores = ((await cpuSeconds()) - before) / SECONDS
const { user, system } = process.cpuUsage(own)
publishing.abort()
const { encoder, restarts } = live.ladder.report
const rungs = [...delays]
report([
  ...rungs.map(([id, all]) =>
    atMost(`${id}: delay of a picture, p50`, DELAY_P50_MS, median(all), 'ms', `of ${all.length}`),
  ),
  ...rungs.map(([id, all]) =>
    atMost(`${id}: delay of a picture, p99`, DELAY_P99_MS, quantile(all, 0.99)),
  ),
])
process.stdout.write(
  `${encoder}: ${(cores * 100).toFixed(0)} % of a core in ffmpeg, ${((user + system) / SECONDS / 10_000).toFixed(1)} % here; ${restarts} restarts\n`,
)
await rm(folder, { recursive: true, force: true })

async function cpuSeconds(): Promise<number> {
  const pid = (await readFile(join(folder, 'pid'), 'utf8')).trim()
  const fields = (await readFile(`/proc/${pid}/stat`, 'latin1')).split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}
