import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually, KEY, startTestListener } from './start-listener.ts'

let server: Awaited<ReturnType<typeof startTestListener>>
const children = new Set<ReturnType<typeof run>>()
beforeEach(async () => {
  server = await startTestListener()
})
afterEach(async () => {
  for (const child of children) child.kill()
  children.clear()
  await server.close()
})

function run(program: 'ffmpeg' | 'ffprobe', args: readonly string[]) {
  const child = spawn(program, ['-v', 'error', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  child.stdout.on('data', (bytes) => (output += String(bytes)))
  child.stderr.on('data', (bytes) => (output += String(bytes)))
  const ended = once(child, 'close').then(([code]) => ({ code: Number(code), output }))
  const running = { ended, kill: () => child.kill('SIGKILL') }
  children.add(running)
  return running
}

/** A test picture in real time, a key frame a second, with two B-frames. */
function publish(key: string, options: { readonly size?: string; readonly seconds?: number } = {}) {
  const { size = '320x180', seconds = 30 } = options
  const line =
    `-nostdin -re -f lavfi -i testsrc2=s=${size}:r=30 -re -f lavfi -i sine=r=48000 ` +
    `-c:v libx264 -preset ultrafast -bf 2 -g 30 -pix_fmt yuv420p -c:a aac -t ${seconds} -f flv`
  return run('ffmpeg', [...line.split(' '), `rtmp://127.0.0.1:${server.port}/live/${key}`])
}

const playUrl = () => `rtmp://127.0.0.1:${server.port}/live/main`
const hasFrames = (index: number, count = 1) => (server.watched[index]?.frames.length ?? 0) >= count

describe('ffmpeg', () => {
  test('what one publishes another plays, from a key frame, to the end', async () => {
    const publisher = publish(KEY, { seconds: 3 })
    await eventually(() => hasFrames(0, 40))
    const player = run('ffprobe', [
      '-show_entries',
      'packet=codec_type,dts_time,flags',
      '-of',
      'csv=p=0',
      playUrl(),
    ])
    const [{ code, output }] = await Promise.all([player.ended, publisher.ended])
    expect(code).toBe(0)
    const packets = output
      .trim()
      .split('\n')
      .map((line) => line.split(','))
    const video = packets.filter(([type]) => type === 'video')
    expect(video[0]?.[2]).toMatch(/^K/)
    expect(video.length).toBeGreaterThan(30)
    expect(packets.some(([type]) => type === 'audio')).toBe(true)
    const times = video.map(([, time]) => Number(time))
    expect(times.toSorted((a, b) => a - b)).toEqual(times)
    expect(times.at(-1)).toBeGreaterThan(2.8)
    expect(server.watched[0]?.end).toBe('ended')
  })

  test('a wrong key is told as the server’s error', async () => {
    const { code, output } = await publish('wrong', { seconds: 2 }).ended
    expect(code).not.toBe(0)
    expect(output).toContain('Server error: The stream key is not known.')
  })

  test('a stream nobody sends is told as the server’s error', async () => {
    const { code, output } = await run('ffprobe', [playUrl()]).ended
    expect(code).not.toBe(0)
    expect(output).toContain('Server error: Nobody is sending this stream.')
  })

  test('the second publisher takes over at once, the first ends, and players get only the second', async () => {
    const first = publish(KEY)
    await eventually(() => hasFrames(0))
    publish(KEY, { size: '480x270' })
    expect((await first.ended).code).not.toBe(0)
    await eventually(() => hasFrames(1))
    const { output } = await run('ffprobe', [
      '-show_entries',
      'stream=width',
      '-of',
      'csv=p=0',
      playUrl(),
    ]).ended
    expect(output.trim()).toBe('480')
    expect(server.watched[0]?.end).toBe('replaced')
    expect(server.watched).toHaveLength(2)
  })

  test('sound in MP3, as ffmpeg sends it, is a track of its own', async () => {
    const url = `rtmp://127.0.0.1:${server.port}/live/${KEY}`
    const sound = ['-nostdin', '-re', '-f', 'lavfi', '-i', 'sine=r=44100']
    run('ffmpeg', [...sound, '-c:a', 'libmp3lame', '-f', 'flv', url])
    await eventually(() => hasFrames(0, 10))
    expect(server.watched[0]?.stream.tracks).toMatchObject([
      { id: 2, codec: 'mp3', sampleRate: 44_100, channels: 1 },
    ])
  })

  test('sound in PCM is refused in words', async () => {
    const url = `rtmp://127.0.0.1:${server.port}/live/${KEY}`
    const sound = ['-nostdin', '-re', '-f', 'lavfi', '-i', 'sine=r=44100']
    const publisher = run('ffmpeg', [...sound, '-c:a', 'pcm_s16le', '-f', 'flv', url])
    const { code, output } = await publisher.ended
    expect(code).not.toBe(0)
    expect(output).toContain('audio is PCM; this server takes AAC')
  })
})
