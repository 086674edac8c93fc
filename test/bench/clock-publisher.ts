import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { systemClock } from '../../server/lib/clock.ts'
import { paintStrip } from './strip.ts'

const WIDTH = 640
const HEIGHT = 360
const FPS = 30
const LUMA = WIDTH * HEIGHT
const PICTURE = LUMA * 1.5
/** Pictures that may wait for the encoder; more, and the source leaves some out as a camera would. */
const WAITING = 30

/** How the picture is encoded: as OBS does with a key frame interval of 1 s, and as OBS does when nobody touched it. */
export const ENCODERS = {
  'KEYINT=1': '-preset ultrafast -tune zerolatency -g 30 -keyint_min 30 -bf 0 -b:v 1500k',
  'untouched OBS': '-preset veryfast -g 250 -bf 2 -b:v 2500k',
} as const

export interface ClockPublisher {
  /** Its connection was lost, or it was stopped. */
  readonly gone: Promise<unknown>
  stop(): Promise<void>
}

/** Publishes a picture that carries the time of its making (strip.ts, milliseconds since 1970 modulo 2^28), and a tone. */
export function publishClock(url: string, encoder: keyof typeof ENCODERS): ClockPublisher {
  const child = spawn(
    'ffmpeg',
    [
      '-nostdin -v error -probesize 32 -analyzeduration 0 -f rawvideo -pix_fmt yuv420p'.split(' '),
      `-video_size ${WIDTH}x${HEIGHT} -framerate ${FPS} -i pipe:0`.split(' '),
      '-f lavfi -i sine=frequency=440:sample_rate=48000 -c:v libx264 -pix_fmt yuv420p'.split(' '),
      [...ENCODERS[encoder].split(' '), '-sc_threshold', '0'],
      [...'-c:a aac -b:a 128k -shortest -flush_packets 1 -f flv'.split(' '), url],
    ].flat(),
    { stdio: ['pipe', 'ignore', 'inherit'] },
  )
  const gone = once(child, 'close')
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  child.stdin.on('error', () => {})
  const stopping = new AbortController()
  const drawing = draw(child.stdin, stopping.signal)
  return {
    gone,
    stop: async () => {
      stopping.abort()
      await drawing
      process.off('exit', kill)
      child.kill('SIGKILL')
      await gone
    },
  }
}

async function draw(
  into: NodeJS.WritableStream & { readonly writableLength: number },
  signal: AbortSignal,
) {
  const ground = background()
  const began = systemClock.monotonic()
  for (let n = 0; !signal.aborted; n++) {
    const wait = began + (n * 1000) / FPS - systemClock.monotonic()
    if (wait > 0) await systemClock.sleep(wait, signal).catch(() => {})
    if (into.writableLength > WAITING * PICTURE) continue
    const picture = Buffer.alloc(PICTURE, 128)
    const shift = (n * 4) % WIDTH
    for (let y = 0; y < HEIGHT; y++)
      ground.copy(picture, y * WIDTH, y * 2 * WIDTH + shift, y * 2 * WIDTH + shift + WIDTH)
    paintStrip(picture, WIDTH, HEIGHT, systemClock.now())
    into.write(picture)
  }
}

/** Soft waves, twice as wide as the picture, which scrolls over them: every picture differs from the one before. */
function background(): Buffer {
  const luma = Buffer.alloc(2 * WIDTH * HEIGHT)
  for (let y = 0; y < HEIGHT; y++)
    for (let x = 0; x < 2 * WIDTH; x++)
      luma[y * 2 * WIDTH + x] =
        126 + 50 * Math.sin((x * Math.PI) / 80) * Math.cos(y / 37) + 30 * Math.sin((x + y) / 11)
  return luma
}
