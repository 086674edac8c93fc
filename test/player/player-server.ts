import { execFile } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { mediaTypeOf } from '../../server/http/media-type.ts'
import type { OriginRequest } from '../../server/http/message.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { createPagesOrigin } from '../../server/pages/pages-origin.ts'

const run = promisify(execFile)
const PLAYER_DIR = join(import.meta.dirname, '../../dist/player')

/** Answers a path instead of the files; undefined: the files answer. */
export type Answer = {
  readonly status: number
  readonly type?: string
  readonly body: string | Buffer
}

export interface PlayerServer {
  readonly url: string
  /** By path. Set before the page asks. */
  readonly answers: Map<string, Answer>
  /** Paths asked for, in order. */
  readonly asked: string[]
  close(): Promise<void>
}

/** The pages origin and a film as HLS (`/vod/film.mp4/index.m3u8`, 8 s, 320x180) behind node:http. */
export async function startPlayerServer(): Promise<PlayerServer> {
  await buildPlayer()
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-player-'))
  await makeFilm(folder)
  const pages = createPagesOrigin({ playerDir: PLAYER_DIR, clock: systemClock, version: '0.0.0' })
  const answers = new Map<string, Answer>()
  const asked: string[] = []

  const handle = async (req: IncomingMessage, res: ServerResponse) => {
    const [path = '/', query = ''] = (req.url ?? '/').split('?')
    asked.push(path)
    const set = answers.get(path)
    if (set) {
      res.writeHead(set.status, { 'content-type': set.type ?? 'text/html; charset=utf-8' })
      res.end(set.body)
      return
    }
    const file = /^\/vod\/film\.mp4\/([\w.]+)$/.exec(path)?.[1]
    if (file && existsSync(join(folder, file))) {
      res.writeHead(200, { 'content-type': mediaTypeOf(file) })
      res.end(await readFile(join(folder, file)))
      return
    }
    const answer = await pages.fetch(toOriginRequest(req, path, query))
    if (answer.kind !== 'message') throw new Error('pages answered with an upgrade')
    res.writeHead(answer.status, { ...answer.headers } as Record<string, string>)
    res.end(answer.body)
  }
  const server = createServer((req, res) => {
    handle(req, res).catch((error: unknown) =>
      res.destroy(error instanceof Error ? error : undefined),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers,
    asked,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true })
    },
  }
}

/** The error an origin gives: `{code, message}`. */
export function refusal(status: number, code: string, message: string): Answer {
  const body = JSON.stringify({ code, message: `${code}: ${message}` })
  return { status, type: 'application/json', body }
}

function toOriginRequest(req: IncomingMessage, path: string, query: string): OriginRequest {
  const headers = req.headers as OriginRequest['headers']
  const { signal } = new AbortController()
  return { method: req.method ?? 'GET', path, query, headers, body: null, signal }
}

async function makeFilm(folder: string): Promise<void> {
  const video = '-f lavfi -i testsrc2=s=320x180:r=25:d=8 -f lavfi -i sine=440:d=8'
  const codecs = '-c:v libx264 -preset ultrafast -g 50 -pix_fmt yuv420p -c:a aac'
  const hls = '-f hls -hls_time 2 -hls_list_size 0 -hls_segment_type fmp4 -hls_playlist_type vod'
  const names = ['-master_pl_name', 'index.m3u8', '-hls_segment_filename', join(folder, 's%d.m4s')]
  const args = `-v error ${video} ${codecs} ${hls}`.split(' ')
  await run('ffmpeg', [...args, ...names, join(folder, 'media.m3u8')])
}

/** Builds when a source is newer than what was built. */
async function buildPlayer(): Promise<void> {
  const built = join(PLAYER_DIR, 'player.js')
  const root = join(import.meta.dirname, '../../player')
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )
  const newest = Math.max(...sources.map((name) => statSync(join(root, name)).mtimeMs))
  if (existsSync(built) && statSync(built).mtimeMs > newest) return
  const vite = join(import.meta.dirname, '../../node_modules/vite/bin/vite.js')
  await run(process.execPath, [vite, 'build', '--config', join(root, 'vite.config.ts')])
}
