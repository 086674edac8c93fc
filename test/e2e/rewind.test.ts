import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { type ReadMedia, readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { publishPicture } from '../support/publish-picture.ts'
import { startServer, type TestServer } from '../support/server.ts'

const PATIENCE = { timeout: 60_000, interval: 200 }

/** The rewind playlist of the picture; undefined while there is none. */
async function rewindOf(server: TestServer): Promise<ReadMedia | undefined> {
  const master = await fetch(`${server.http}/live/main/dvr.m3u8`)
  if (master.status !== 200) return undefined
  const [file] = /dvr-video-t\d+\.m3u8/.exec(await master.text()) ?? []
  const answer = await fetch(`${server.http}/live/main/${file}`)
  const playlist = answer.status === 200 ? readPlaylist(await answer.text()) : undefined
  return playlist?.kind === 'media' ? playlist : undefined
}

test('after kill -9 a start has the closed segments of before, byte for byte, and goes on behind them', async () => {
  const data = await mkdtemp(join(tmpdir(), 'nearcast-rewind-'))
  const first = await startServer({ data })
  const publisher = publishPicture(`${first.rtmp}/${first.streamKey}`)
  const before = await vi.waitFor(async () => {
    const playlist = await rewindOf(first)
    expect(playlist?.segments.filter(({ uri, gap }) => uri && !gap).length).toBeGreaterThan(4)
    return playlist
  }, PATIENCE)
  // The last one may be on its way to the disk.
  const closed = before?.segments.filter(({ uri, gap }) => uri && !gap).slice(0, -1) ?? []
  const bytesAt = async (server: TestServer, uri: string | undefined) => {
    const answer = await fetch(`${server.http}/live/main/${uri}`)
    expect(answer.status).toBe(200)
    return Buffer.from(await answer.arrayBuffer())
  }
  const sent = await Promise.all(closed.map(({ uri }) => bytesAt(first, uri)))
  process.kill(first.pid, 'SIGKILL')
  await publisher.stop()
  await first.stop({ keep: true })

  const second = await startServer({ data })
  const again = publishPicture(`${second.rtmp}/${second.streamKey}`)
  try {
    const after = await rewindOf(second)
    expect(after?.endList).toBe(false)
    for (const [at, { uri }] of closed.entries()) {
      expect(after?.segments.map((segment) => segment.uri)).toContain(uri)
      expect((await bytesAt(second, uri)).equals(sent[at] ?? Buffer.alloc(0))).toBe(true)
    }
    await vi.waitFor(async () => {
      const later = await rewindOf(second)
      const cut = later?.segments.find(({ discontinuity }) => discontinuity)
      expect(cut?.sequence).toBeGreaterThan(closed.at(-1)?.sequence ?? 0)
      expect(later?.mediaSequence).toBe(after?.mediaSequence)
    }, PATIENCE)
  } finally {
    await again.stop()
    await second.stop()
    await rm(data, { recursive: true, force: true })
  }
})
