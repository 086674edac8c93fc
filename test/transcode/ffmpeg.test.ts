import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { probeFfmpeg, startDemoPublisher } from '../../server/transcode/ffmpeg.ts'
import { eventually, KEY, startTestListener } from '../ingest/start-listener.ts'

let server: Awaited<ReturnType<typeof startTestListener>>
beforeEach(async () => {
  server = await startTestListener()
})
afterEach(() => server.close())

const startDemo = () =>
  startDemoPublisher(
    `rtmp://127.0.0.1:${server.port}/live/${KEY}`,
    { path: undefined },
    { clock: systemClock, log: silentLog },
  )

test('the demo sends a picture until it is closed', async () => {
  const demo = startDemo()
  await eventually(() => (server.watched[0]?.frames.length ?? 0) > 0)
  await demo.close()
  await eventually(() => server.watched[0]?.end !== undefined)
})

test('a demo that is closed before its ffmpeg runs ends too', async () => {
  await startDemo().close()
})

test('what ffmpeg can encode is told', async () => {
  expect((await probeFfmpeg({ path: undefined }))?.encoders).toContain('libx264')
})
