import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { NearcastError } from '../lib/errors.ts'

const ANSWER_TIMEOUT_MS = 2000

/** Where the control API of a running server is, and the token for it. */
export interface ControlAddress {
  readonly url: string
  readonly token: string
}

/** The server that says in `directory`/ready.json that it runs, else the one the environment names. */
export function findControl(
  directory: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): ControlAddress | undefined {
  const ready = readReady(directory)
  if (ready && isRunning(ready.pid)) return { url: ready.url, token: ready.token }
  const { NEARCAST_CONTROL_URL: url, NEARCAST_TOKEN: token } = env
  return url && token && URL.canParse(url) ? { url, token } : undefined
}

/**
 * Throws `data-in-use` when another server runs with `directory`. Its pid alone proves nothing (a killed server's may be
 * anybody's by now), so its control port is asked whether it takes this folder's token.
 */
export async function refuseSecondServer(directory: string): Promise<void> {
  const ready = readReady(directory)
  if (!ready || ready.pid === process.pid || !isRunning(ready.pid)) return
  if (!(await takesToken(ready))) return
  throw new NearcastError(
    'data-in-use',
    `a server already runs with this data folder (pid ${ready.pid}); give this one its own: --data DIR or NEARCAST_DATA_DIR`,
  )
}

async function takesToken({ url, token }: ControlAddress): Promise<boolean> {
  try {
    const response = await fetch(new URL('/api/v1/sessions', url), {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    })
    await response.body?.cancel()
    return response.ok
  } catch {
    return false
  }
}

/** What `directory`/ready.json says, whoever wrote it and whether it still runs; undefined when it says nothing. */
export function readReady(
  directory: string,
): (ControlAddress & { readonly pid: number }) | undefined {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(join(directory, 'ready.json'), 'utf8'))
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  if (!('control' in value) || typeof value.control !== 'string') return undefined
  if (!('adminToken' in value) || typeof value.adminToken !== 'string') return undefined
  if (!('pid' in value) || typeof value.pid !== 'number') return undefined
  return { url: value.control, token: value.adminToken, pid: value.pid }
}

// A server that was killed leaves its file behind.
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
