import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../lib/clock.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { readTail, writeTailEvent, writeTailHead } from './tail.ts'
import { LiveWindow } from './window.ts'
import type { WindowLimits } from './window-limits.ts'
import type { WindowEvent } from './window-event.ts'
import { snapshotOf } from './window-snapshot.ts'

const SUFFIX = '.window'
/** Players of a stream that stood still longer than this have given up. */
const OLD_MS = 10 * 60_000

/** Writes each window into a file of `folder`: whole or not at all. One that can't be written keeps no other from it. */
export async function saveWindows(
  folder: string,
  windows: readonly LiveWindow[],
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  for (const window of windows) {
    try {
      await saveWindow(folder, window, deps.clock.now())
    } catch (error) {
      const reason = describeError(error)
      deps.log.error('a live window cannot be saved', { stream: window.name, reason })
    }
  }
}

async function saveWindow(folder: string, window: LiveWindow, at: number): Promise<void> {
  const name = createHash('sha256').update(window.name).digest('hex').slice(0, 32)
  const path = join(folder, `${name}${SUFFIX}`)
  const events: readonly WindowEvent[] = [...snapshotOf(window), { kind: 'saved', at }]
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.writev([writeTailHead()])
    for (const event of events) await file.writev([...writeTailEvent(event)])
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
}

/**
 * Reads what `saveWindows` wrote and removes it: a crash later must not bring an old window back. A file that is torn or
 * none of ours is left out with one warning.
 */
export async function loadWindows(
  folder: string,
  limits: WindowLimits,
  deps: { readonly clock: Clock; readonly log: Log },
): Promise<readonly LiveWindow[]> {
  const windows: LiveWindow[] = []
  for (const file of await listFolder(folder)) {
    if (!file.endsWith(SUFFIX)) continue
    const path = join(folder, file)
    try {
      const { window, savedAt } = await readWindow(path, limits)
      if (deps.clock.now() - savedAt > OLD_MS)
        deps.log.info('a saved live window is too old to go on', { stream: window.name })
      else if (!window.ended) windows.push(window)
    } catch (error) {
      deps.log.warn('a saved live window cannot be read', { file, reason: describeError(error) })
    }
    await rm(path, { force: true })
  }
  return windows
}

async function listFolder(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch {
    return []
  }
}

async function readWindow(
  path: string,
  limits: WindowLimits,
): Promise<{ readonly window: LiveWindow; readonly savedAt: number }> {
  let window: LiveWindow | undefined
  let savedAt: number | undefined
  for await (const event of readTail(createReadStream(path, { highWaterMark: 1024 * 1024 }))) {
    if (event.kind === 'open') window = new LiveWindow(event, limits)
    else if (!window)
      throw new NearcastError('origin-failed', 'the file does not begin with its name')
    if (event.kind === 'saved') savedAt = event.at
    window.apply(event)
  }
  if (!window || savedAt === undefined)
    throw new NearcastError('origin-failed', 'the file is cut short')
  return { window, savedAt }
}
