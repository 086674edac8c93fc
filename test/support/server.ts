import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ReadyFile } from '../../server/config/data-dir.ts'

export const PROJECT = fileURLToPath(new URL('../../', import.meta.url))

export interface ServerOptions {
  /** Over ports 0, a folder of its own for data, and quiet logs. */
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  /** Text of the nearcast.yaml in its working folder. */
  readonly config?: string
  /** Data folder of an earlier server, to start again where that one stopped. */
  readonly data?: string
}

/** The whole server as its own process. */
export interface TestServer {
  readonly pid: number
  readonly data: string
  readonly ready: ReadyFile
  /** Addresses without a slash at the end; '' for a role that has none. */
  readonly http: string
  readonly control: string
  /** What goes into OBS's Server field, and the key of the first stream. */
  readonly rtmp: string
  readonly streamKey: string
  /** Everything it has written to its terminal. */
  output(): string
  /** One call of `/api/v1` with the operator's token; gives the JSON answer. */
  api(method: string, path: string, body?: object): Promise<{ status: number; body: unknown }>
  /** SIGTERM, once; resolves with the exit code. The data folder stays when it was given or `keep` says so. */
  stop(options?: { readonly keep?: boolean }): Promise<number | null>
  [Symbol.asyncDispose](): Promise<void>
}

/** How a server that came to no ready ended. */
export class ServerExit extends Error {
  readonly code: number | null
  readonly output: string
  constructor(code: number | null, output: string) {
    super(`the server ended with ${code}: ${output}`)
    this.code = code
    this.output = output
  }
}

const KILL_MS = 15_000
let built = false

/** Builds what is older than its sources; nothing when all is new. */
export function buildOnce(): void {
  if (built) return
  execFileSync(process.execPath, [join(PROJECT, 'server/cli/bootstrap.mjs'), 'build'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  built = true
}

/** The environment a server of a test starts from: nothing of the developer's but the PATH. */
export function serverEnv(folder: string, more: Readonly<Record<string, string>> = {}) {
  const { PATH = '' } = process.env
  return {
    PATH,
    HOME: folder,
    NEARCAST_HTTP_PORT: '0',
    NEARCAST_RTMP_PORT: '0',
    NEARCAST_CONTROL_PORT: '0',
    NEARCAST_DATA_DIR: join(folder, 'data'),
    ...more,
  }
}

/** Starts `dist/server/main.js` and waits until it says that it is ready. Throws ServerExit when it ends before. */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  buildOnce()
  const folder = mkdtempSync(join(tmpdir(), 'nearcast-server-'))
  const data = options.data ?? join(folder, 'data')
  await mkdir(data, { recursive: true })
  if (options.config !== undefined) await writeFile(join(folder, 'nearcast.yaml'), options.config)
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', join(PROJECT, 'dist/server/main.js'), ...(options.args ?? [])],
    {
      cwd: folder,
      env: serverEnv(folder, { NEARCAST_DATA_DIR: data, ...options.env }),
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let output = ''
  // A test run that is cut short leaves no server behind.
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const exited = once(child, 'exit').then(([code]): number | null => {
    process.off('exit', kill)
    return code
  })
  const saidReady = new Promise<void>((resolve) => {
    const take = (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes('Nearcast is ready')) resolve()
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
  })
  const first = await Promise.race([saidReady, exited])
  if (first !== undefined) {
    await rm(folder, { recursive: true, force: true })
    throw new ServerExit(first, output)
  }
  // Written by writeReady, whose type this is.
  const ready = JSON.parse(await readFile(join(data, 'ready.json'), 'utf8')) as ReadyFile

  let stopped: Promise<number | null> | undefined
  const stop = (keep: boolean) => {
    stopped ??= (async () => {
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), KILL_MS)
      const code = await exited
      clearTimeout(late)
      if (!keep) await rm(folder, { recursive: true, force: true })
      return code
    })()
    return stopped
  }
  return {
    pid: ready.pid,
    data,
    ready,
    http: ready.http ?? '',
    control: ready.control ?? '',
    rtmp: ready.rtmp ?? '',
    streamKey: ready.streams[0]?.key ?? '',
    output: () => output,
    api: (method, path, body) => callApi(ready, method, path, body),
    stop: ({ keep = false } = {}) => stop(keep),
    [Symbol.asyncDispose]: async () => {
      await stop(false)
    },
  }
}

async function callApi(ready: ReadyFile, method: string, path: string, body?: object) {
  const response = await fetch(`${ready.control}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${ready.adminToken}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const value: unknown = text === '' ? undefined : JSON.parse(text)
  return { status: response.status, body: value }
}
