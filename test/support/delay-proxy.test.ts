import { expect, it } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { askServer } from './edge-fixture.ts'
import { startDelayProxy } from './delay-proxy.ts'
import { startWebServer } from './web-server.ts'

it('is as long as it says, and loses nothing of what a server says before it closes', async () => {
  const body = Buffer.alloc(300_000, 'x')
  const server = await startWebServer((_, response) => {
    response.writeHead(200, { connection: 'close' }).end(body)
  })
  const wire = await startDelayProxy(Number(new URL(server.url).port), 20)
  const began = systemClock.monotonic()
  const answer = await askServer(wire.port, '/film', { headers: { range: 'bytes=0-' } })
  // Timers may fire a millisecond early.
  expect(systemClock.monotonic() - began).toBeGreaterThan(38)
  expect(answer.body.equals(body)).toBe(true)
  expect(wire.reads).toEqual(['GET /film bytes=0-'])
  await expect.poll(() => wire.connections).toBe(0)
  await wire.close()
  await server.close()
})
