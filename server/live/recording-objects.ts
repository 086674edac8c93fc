import { INDEX_NAME, type RecordingIndex } from '../formats/recording/recording-index.ts'
import { isPlayed } from '../formats/recording/recording-totals.ts'
import { segmentUri } from './address.ts'
import type { ObjectStore } from '../storage/object-store.ts'

const AT_ONCE = 8
const PAGE = 1000

/** Objects that an index names, relative to the recording they lie in. */
export function namedObjects({ renditions }: RecordingIndex): ReadonlySet<string> {
  const names = new Set<string>()
  for (const { id, segments } of renditions)
    for (const segment of segments.filter(isPlayed)) {
      names.add(segment.init)
      names.add(segmentUri(id, segment))
    }
  return names
}

/** Removes what lies below `place` (with its slash) but for what is `kept`, the index first: nothing plays then. */
export async function removeObjects(
  store: ObjectStore,
  place: string,
  kept: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  await store.remove(place + INDEX_NAME, signal)
  let cursor: string | undefined
  do {
    const page = await store.list(place, { limit: PAGE, cursor, signal })
    const going = page.objects.filter(({ key }) => !kept.has(key.slice(place.length)))
    for (let i = 0; i < going.length; i += AT_ONCE)
      await Promise.all(going.slice(i, i + AT_ONCE).map(({ key }) => store.remove(key, signal)))
    cursor = page.cursor
  } while (cursor !== undefined)
}

/** The folders directly below `prefix`, with their slashes. */
export async function foldersIn(
  store: ObjectStore,
  prefix: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found: string[] = []
  let cursor: string | undefined
  do {
    const page = await store.list(prefix, { delimiter: '/', limit: PAGE, cursor, signal })
    found.push(...page.prefixes)
    cursor = page.cursor
  } while (cursor !== undefined)
  return found
}
