import { get } from 'node:http'
import { systemClock } from '../../server/lib/clock.ts'

// Viewers of one address as a process of their own: `crowd.ts PORT COUNT`. The first reads 10 kB/s and leaves when the others are done.
// Prints what each of the others saw, as JSON.
const [port = '', count = ''] = process.argv.slice(2)
const SLOW_BYTES = 10_000

const slow = get({ host: '127.0.0.1', port, path: '/film.mp4', agent: false }, (response) => {
  response.on('data', (chunk: Buffer) => {
    response.pause()
    void systemClock.sleep((chunk.length / SLOW_BYTES) * 1000).then(() => response.resume())
  })
})
slow.on('error', () => {})
const seen = await Promise.all(Array.from({ length: Number(count) - 1 }, view))
slow.destroy()
process.stdout.write(JSON.stringify(seen))

function view(): Promise<{ firstMs: number; totalMs: number; bytes: number }> {
  const began = systemClock.monotonic()
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/film.mp4', agent: false }, (response) => {
      let firstMs = 0
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        if (bytes === 0) firstMs = systemClock.monotonic() - began
        bytes += chunk.length
      })
      response.on('close', () =>
        resolve({ firstMs, totalMs: systemClock.monotonic() - began, bytes }),
      )
    }).on('error', reject)
  })
}
