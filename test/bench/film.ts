import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CELLS, stripRows } from './strip.ts'

export const FILM_SECONDS = 600
export const FILM_FPS = 25

/** A 10-minute 1080p film of 300 MB whose pictures carry their numbers (strip.ts), moov at the end; made once, about 3 minutes. */
export async function makeNumberedFilm(): Promise<string> {
  const folder = join(tmpdir(), 'nearcast-bench-media')
  const path = join(folder, 'numbered-1080p-600s.mp4')
  if (existsSync(path)) return path
  mkdirSync(folder, { recursive: true })
  console.log('making a film of 10 minutes, once: about 3 minutes')
  const half = `${path}.${process.pid}.mp4`
  const strips = `-f rawvideo -pix_fmt gray -video_size ${CELLS}x2 -framerate ${FILM_FPS} -i pipe:0`
  const ground = `-f lavfi -i testsrc2=size=1920x1080:rate=${FILM_FPS}:duration=${FILM_SECONDS}`
  const sound = `-f lavfi -i sine=frequency=440:sample_rate=48000:duration=${FILM_SECONDS}`
  const laid = '[0:v]scale=1920:120:flags=neighbor,format=yuv420p[s];[1:v][s]overlay=0:0:shortest=1'
  const video = '-c:v libx264 -preset ultrafast -bf 2 -g 50 -b:v 4M -maxrate 4M -bufsize 4M'
  const child = spawn(
    'ffmpeg',
    [
      ...`-v error ${strips} ${ground} ${sound} -filter_complex ${laid}`.split(' '),
      ...`${video} -pix_fmt yuv420p -c:a aac -b:a 96k -y`.split(' '),
      half,
    ],
    { stdio: ['pipe', 'inherit', 'inherit'] },
  )
  const ended = once(child, 'close')
  await pipeline(Readable.from(strip()), child.stdin)
  const [code] = await ended
  if (code !== 0) throw new Error(`ffmpeg ended with ${code}`)
  renameSync(half, path)
  return path
}

function* strip() {
  for (let n = 0; n < FILM_SECONDS * FILM_FPS; n++) yield Buffer.concat(stripRows(n))
}
