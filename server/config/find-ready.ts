import { readFileSync } from 'node:fs'
import { join } from 'node:path'

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
  const ready = readReady(join(directory, 'ready.json'))
  if (ready) return ready
  const { NEARCAST_CONTROL_URL: url, NEARCAST_TOKEN: token } = env
  return url && token && URL.canParse(url) ? { url, token } : undefined
}

function readReady(file: string): ControlAddress | undefined {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  if (!('control' in value) || typeof value.control !== 'string') return undefined
  if (!('adminToken' in value) || typeof value.adminToken !== 'string') return undefined
  if (!('pid' in value) || typeof value.pid !== 'number' || !isRunning(value.pid)) return undefined
  return { url: value.control, token: value.adminToken }
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
