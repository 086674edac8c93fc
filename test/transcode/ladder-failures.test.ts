import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Clock } from '../../server/lib/clock.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { sendInTime, startLadder, writeFakeFfmpeg } from './ladder-fixture.ts'

const SOURCE = await makeLiveMedia({ seconds: 6, gop: 30, audio: false })
const PATIENT = { timeout: 60_000, interval: 20 }
const RUNG = [{ height: 90 }]

let folder: string
let publishing: AbortController
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-fake-'))
  publishing = new AbortController()
})
afterEach(async () => {
  publishing.abort()
  await rm(folder, { recursive: true, force: true })
})

/** The real ffmpeg, behind a script that notes its process. */
const notingFfmpeg = (options = '') =>
  writeFakeFfmpeg(folder, `echo $$ >> '${folder}/pids'; exec ffmpeg ${options} "$@"`)

/** Of the processes that were started, the last one's. */
async function lastPid(): Promise<number> {
  return Number((await readFile(join(folder, 'pids'), 'utf8')).trim().split('\n').at(-1))
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** A clock that runs so many times as fast. */
function hurried(times: number): Clock {
  return {
    now: () => systemClock.now() * times,
    monotonic: () => systemClock.monotonic() * times,
    sleep: (ms, signal) => systemClock.sleep(ms / times, signal),
    after: (ms, task) => systemClock.after(ms / times, task),
    every: (ms, task) => systemClock.every(ms / times, task),
  }
}

describe('a ladder', () => {
  test.each([
    ['is killed', 'SIGKILL'],
    ['stands still', 'SIGSTOP'],
  ] as const)('whose ffmpeg %s says so, and goes on where it was', async (_, signal) => {
    await using live = await startLadder(RUNG, { ffmpeg: { path: await notingFfmpeg() } })
    void sendInTime(live.stream, SOURCE, publishing.signal)
    await expect.poll(() => live.sink.count('v90'), PATIENT).toBeGreaterThan(10)
    expect(live.sink.lost).toEqual([])
    const pid = await lastPid()
    process.kill(pid, signal)
    await expect.poll(() => live.sink.lost, PATIENT).toEqual(['v90'])
    const before = live.sink.count('v90')
    await expect.poll(() => live.sink.count('v90'), PATIENT).toBeGreaterThan(before + 20)
    const frames = live.sink.frames.get('v90') ?? []
    expect(frames[before]?.key).toBe(true)
    const times = frames.map(({ pts }) => pts)
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    expect(new Set(times).size).toBe(times.length)
    expect(live.ladder.report).toMatchObject({ state: 'on', restarts: 1 })
    await expect.poll(() => isAlive(pid), PATIENT).toBe(false)
    expect(live.sink.announced).toHaveLength(1)
  })

  test('leaves no process behind', async () => {
    const live = await startLadder(RUNG, { ffmpeg: { path: await notingFfmpeg() } })
    void sendInTime(live.stream, SOURCE, publishing.signal)
    await expect.poll(() => live.sink.count('v90'), PATIENT).toBeGreaterThan(0)
    const pid = await lastPid()
    expect(isAlive(pid)).toBe(true)
    await live[Symbol.asyncDispose]()
    await expect.poll(() => isAlive(pid), PATIENT).toBe(false)
  })

  test('without a working ffmpeg tries less and less often, and lists no rungs meanwhile', async () => {
    const path = await writeFakeFfmpeg(
      folder,
      `echo $$ >> '${folder}/pids'; echo broken >&2; exit 1`,
    )
    await using live = await startLadder(RUNG, { ffmpeg: { path } })
    void sendInTime(live.stream, SOURCE, publishing.signal)
    await expect.poll(() => live.sink.announced.length, PATIENT).toBe(2)
    expect(live.sink.announced[1]).toEqual([])
    expect(live.ladder.report).toMatchObject({
      state: 'off',
      reason: 'ffmpeg stops again and again: broken',
      rungs: [],
    })
    const tries = (await readFile(join(folder, 'pids'), 'utf8')).trim().split('\n').length
    expect(tries).toBe(3)
    await notingFfmpeg()
    await expect.poll(() => live.sink.count('v90'), PATIENT).toBeGreaterThan(0)
    expect(live.sink.announced.at(-1)).toHaveLength(1)
    expect(live.ladder.report.state).toBe('on')
  })

  test('without an encoder says why there is none', async () => {
    const failures = ['ffmpeg was not found']
    await using live = await startLadder(RUNG, {
      encoders: async () => ({ encoders: [], failures }),
    })
    void sendInTime(live.stream, SOURCE, publishing.signal)
    await expect
      .poll(() => live.ladder.report, PATIENT)
      .toEqual({ state: 'off', reason: 'ffmpeg was not found', rungs: [], restarts: 0 })
    expect(live.sink.announced).toEqual([])
  })

  test('that cannot keep up does less, and in the end nothing, and says why', async () => {
    const path = await notingFfmpeg('-readrate 0.3')
    await using live = await startLadder([{ height: 120 }, { height: 90 }], {
      ffmpeg: { path },
      clock: hurried(4),
    })
    void sendInTime(live.stream, SOURCE, publishing.signal)
    await expect
      .poll(() => live.sink.announced.map((rungs) => rungs.map(({ id }) => id).join()), PATIENT)
      .toEqual(['v120,v90', 'v120,v90', 'v90', ''])
    expect(live.ladder.report.state).toBe('off')
    expect(live.ladder.report.reason).toMatch(/behind the source/)
    const pid = await lastPid()
    await expect.poll(() => isAlive(pid), PATIENT).toBe(false)
  })

  test('in a machine that others keep busy waits until there is room', async () => {
    const room = { cores: 2, idleCores: () => 0.1 }
    await using live = await startLadder('auto', { clock: hurried(20), room })
    void sendInTime(live.stream, LARGER, publishing.signal)
    await expect.poll(() => live.ladder.report.reason, PATIENT).toMatch(/no room: 0\.1 of 2 cores/)
    expect(live.sink.announced).toEqual([])
    room.idleCores = () => 2
    await expect.poll(() => live.sink.announced.length, PATIENT).toBe(1)
  })

  test('has no rungs for a source of 360 lines, and none without a picture', async () => {
    await using small = await startLadder('auto')
    void sendInTime(small.stream, SOURCE, publishing.signal)
    await expect.poll(() => small.ladder.report.state, PATIENT).toBe('off')
    expect(small.ladder.report.reason).toBe('the source has only 180 lines')
    await using sound = await startLadder('auto')
    sound.stream.setTracks(SOUND.tracks)
    expect(sound.ladder.report).toMatchObject({
      state: 'off',
      reason: 'the stream has no picture',
    })
  })

  test('has no rungs of a picture that not every ffmpeg reads from FLV', async () => {
    await using live = await startLadder(RUNG)
    const [track] = SOURCE.tracks
    if (track?.kind !== 'video') throw new Error('no picture')
    live.stream.setTracks([{ ...track, codec: 'hevc' }])
    expect(live.ladder.report).toMatchObject({
      state: 'off',
      reason: expect.stringContaining('hevc'),
    })
  })

  test('begins anew behind a jump of the source in time', async () => {
    await using live = await startLadder(RUNG)
    void sendInTime(live.stream, SOURCE, publishing.signal)
    await expect.poll(() => live.sink.count('v90'), PATIENT).toBeGreaterThan(20)
    publishing.abort()
    const before = live.sink.count('v90')
    const shifted = SOURCE.frames.map((frame) => ({
      ...frame,
      dts: frame.dts + 3_000_000,
      pts: frame.pts + 3_000_000,
    }))
    for (const frame of shifted) live.stream.write(frame)
    expect(live.sink.lost).toEqual(['v90'])
    await expect
      .poll(() => live.sink.frames.get('v90')?.at(-1)?.pts, PATIENT)
      .toBeGreaterThan(3_005_000)
    const after = (live.sink.frames.get('v90') ?? []).filter(({ pts }) => pts >= 3_000_000)
    expect(after[0]).toMatchObject({ key: true, pts: shifted[0]?.pts })
    expect(live.sink.count('v90')).toBeGreaterThanOrEqual(before + after.length)
  })
})

const LARGER = await makeLiveMedia({ seconds: 4, gop: 30, size: '800x450', audio: false })
const SOUND = await makeLiveMedia({ seconds: 2, video: false })
