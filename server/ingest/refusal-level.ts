import { failureLogOf } from '../lib/failure-log.ts'
import type { SessionDeps } from './session-deps.ts'

/** Anybody can send wrong keys, and a flood of them must not fill the disk: `info` for what is only counted. */
export function refusalLevel(deps: SessionDeps, address: string): 'info' | 'warn' {
  const tell = (unwritten: number, of: string) =>
    deps.log.warn('rtmp publishers refused', { address: of, unwritten })
  return failureLogOf(deps).admits(address, tell) ? 'warn' : 'info'
}
