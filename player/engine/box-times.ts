/** Where the timestamps of a fragment begin on the track's own clock. */
export interface TrackStart {
  /** Ticks. */
  readonly baseTime: number
  /** Ticks a second. */
  readonly timescale: number
  readonly trackId: number
}

interface Box {
  readonly type: string
  readonly body: DataView
}

/** Ticks a second by track_ID, of an init section (ISO/IEC 14496-12 §8.3.2, §8.4.2). Empty for what is none. */
export function readTimescales(init: Uint8Array): ReadonlyMap<number, number> {
  const found = new Map<number, number>()
  for (const trak of inside(viewOf(init), 'moov', 'trak')) {
    const header = find(trak, 'tkhd')
    const media = find(trak, 'mdia')
    const times = media && find(media, 'mdhd')
    if (!header || !times) continue
    const trackId = wordAt(header, wordAt(header, 0) >>> 24 === 1 ? 20 : 12)
    const timescale = wordAt(times, wordAt(times, 0) >>> 24 === 1 ? 20 : 12)
    if (trackId > 0 && timescale > 0) found.set(trackId, timescale)
  }
  return found
}

/**
 * The earliest decode time of the first `moof` (§8.8.12). undefined while `bytes` do not hold all of that box, and when it
 * has none.
 */
export function readStart(
  bytes: Uint8Array,
  timescales: ReadonlyMap<number, number>,
): TrackStart | undefined {
  let earliest: TrackStart | undefined
  const [moof] = boxes(viewOf(bytes)).filter((box) => box.type === 'moof')
  if (!moof) return undefined
  for (const traf of inside(moof.body, 'traf')) {
    const header = find(traf, 'tfhd')
    const times = find(traf, 'tfdt')
    const trackId = header ? wordAt(header, 4) : 0
    const timescale = timescales.get(trackId)
    if (!times || timescale === undefined) continue
    const long = wordAt(times, 0) >>> 24 === 1
    const baseTime = long ? wordAt(times, 4) * 2 ** 32 + wordAt(times, 8) : wordAt(times, 4)
    if (!Number.isSafeInteger(baseTime)) continue
    if (!earliest || baseTime / timescale < earliest.baseTime / earliest.timescale)
      earliest = { baseTime, timescale, trackId }
  }
  return earliest
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The word at `at`; 0 past the end. */
function wordAt(view: DataView, at: number): number {
  return at + 4 <= view.byteLength ? view.getUint32(at) : 0
}

/** The boxes that are wholly there, one after the other. 64-bit sizes are for mdat, which ends what is looked at. */
function boxes(view: DataView): readonly Box[] {
  const found: Box[] = []
  let at = 0
  while (at + 8 <= view.byteLength) {
    const size = view.getUint32(at)
    if (size < 8 || at + size > view.byteLength) break
    const type = String.fromCharCode(...[4, 5, 6, 7].map((i) => view.getUint8(at + i)))
    found.push({ type, body: new DataView(view.buffer, view.byteOffset + at + 8, size - 8) })
    at += size
  }
  return found
}

function find(view: DataView, type: string): DataView | undefined {
  return boxes(view).find((box) => box.type === type)?.body
}

/** The bodies of all boxes at `path`. */
function inside(view: DataView, ...path: readonly string[]): readonly DataView[] {
  let views: readonly DataView[] = [view]
  for (const type of path)
    views = views.flatMap((one) =>
      boxes(one)
        .filter((box) => box.type === type)
        .map((box) => box.body),
    )
  return views
}
