import type { Change } from '../distribution/change.ts'
import { type ChangesHeader, readChange, readChangesHeader } from '../distribution/read-change.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { readLines } from '../lib/read-lines.ts'
import type { ParentWire } from './parent-wire.ts'

// The header carries all distributions, an invalidation up to 3000 paths.
const LINE_BYTES_MAX = 16 * 1024 * 1024
const RETRY_MIN_MS = 250
const RETRY_MAX_MS = 5000

/** The parent's change log, begun again after each break, until the signal. */
export async function* followParent(
  wire: ParentWire,
  deps: { readonly clock: Clock; readonly log: Log },
  after: { readonly epoch: string; readonly seq: number } | undefined,
  signal: AbortSignal,
): AsyncGenerator<ChangesHeader | Change, void, undefined> {
  let position = after
  let failures = 0
  while (!signal.aborted) {
    try {
      for await (const item of readChanges(wire, position, signal)) {
        if (failures > 0) deps.log.info('parent is back', { parent: wire.url.host })
        failures = 0
        position =
          'kind' in item
            ? { epoch: position?.epoch ?? '', seq: item.seq }
            : { epoch: item.epoch, seq: item.after }
        yield item
      }
    } catch (error) {
      if (isAborted(signal)) return
      if (failures === 0)
        deps.log.warn('parent lost, trying again', {
          parent: wire.url.host,
          error: describeError(error),
        })
    }
    failures += 1
    const pause = Math.min(RETRY_MIN_MS * 2 ** (failures - 1), RETRY_MAX_MS)
    await deps.clock.sleep(pause, signal).catch(() => {})
  }
}

async function* readChanges(
  wire: ParentWire,
  after: { readonly epoch: string; readonly seq: number } | undefined,
  signal: AbortSignal,
): AsyncGenerator<ChangesHeader | Change, void, undefined> {
  const query = after ? `?after=${after.epoch}:${after.seq}` : ''
  const body = await wire.stream(`/v1/changes${query}`, signal)
  let begun = false
  for await (const line of readLines(body, LINE_BYTES_MAX)) {
    if (line === '') continue
    const item = begun ? readChange(parse(line)) : readChangesHeader(parse(line))
    if (!item)
      throw new NearcastError('origin-failed', `${wire.url.host} sent a line that is no change`)
    begun = true
    yield item
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

// A function, because the compiler takes a signal for unchanged between two looks at it.
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted
}
