import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type DelayProxy, startDelayProxy } from '../support/delay-proxy.ts'
import { type Followed, followStream } from '../support/hls-follow.ts'
import { type FfmpegRun, publishPicture } from '../support/publish-picture.ts'
import { startServer, type TestServer } from '../support/server.ts'

const ONE_WAY_MS = 60
const PARTS = 45
let origin: TestServer
let wire: DelayProxy
let edge: TestServer
let publisher: FfmpegRun

// The origin answers its own viewers with two workers; the edge elsewhere has one connection to it for the stream.
beforeAll(async () => {
  origin = await startServer({ env: { NEARCAST_HTTP_WORKERS: '2' } })
  wire = await startDelayProxy(Number(new URL(origin.ready.origin ?? '').port), ONE_WAY_MS)
  edge = await startServer({
    env: {
      NEARCAST_ROLE: 'edge',
      NEARCAST_PARENT: `http://127.0.0.1:${wire.port}`,
      NEARCAST_PARENT_TOKEN: origin.ready.edgeToken ?? '',
    },
  })
  publisher = publishPicture(`${origin.rtmp}/${origin.streamKey}`)
})
afterAll(async () => {
  await publisher.stop()
  await edge.stop()
  await wire.close()
  await origin.stop()
})

async function follow({ http }: TestServer): Promise<Followed> {
  const url = `${http}/live/main/index.m3u8`
  // Until it is known how far apart key frames are.
  await vi.waitFor(async () => expect(await (await fetch(url)).text()).toContain('video-t1.m3u8'), {
    timeout: 60_000,
    interval: 250,
  })
  return followStream({ url, parts: PARTS, tier: 'origin' })
}

describe('a strict low-latency client (rfc8216bis-22)', () => {
  it('finds nothing wrong, neither at two workers nor at an edge elsewhere', async () => {
    const seen = await Promise.all([follow(origin), follow(edge)])
    for (const one of seen) {
      expect(one.violations).toEqual([])
      expect(one.renditions).toHaveLength(2)
      expect(one.parts).toBeGreaterThanOrEqual(2 * PARTS)
      expect(one.deltas).toBeGreaterThan(0)
      expect(one.hints).toBeGreaterThan(PARTS)
      expect(one.reports).toBeGreaterThan(5)
    }
  })
})
