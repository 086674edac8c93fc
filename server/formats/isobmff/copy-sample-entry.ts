import type { Box } from './read-boxes.ts'

/** Boxes of a visual sample entry that decoders and displays use; what else QuickTime puts there makes browsers refuse the file. */
const VIDEO_BOXES: ReadonlySet<string> = new Set([
  'avcC',
  'hvcC',
  'av1C',
  'vpcC',
  'pasp',
  'mdcv',
  'clli',
  'SmDm',
  'CoLL',
  'dvcC',
  'dvvC',
])
const VISUAL_FIELDS = 78

/** A visual sample entry as in the source, of type `type`, with data reference 1 and only the boxes browsers know. */
export function videoSampleEntry(
  bytes: Uint8Array,
  entry: Box,
  children: readonly Box[],
  type: string,
): Uint8Array {
  const kept = children.filter((box) => VIDEO_BOXES.has(box.type) || isNclx(bytes, box))
  const size = 8 + VISUAL_FIELDS + kept.reduce((sum, box) => sum + (box.end - box.start), 0)
  const out = header(size, type)
  out.set(bytes.subarray(entry.body, entry.body + VISUAL_FIELDS), 8)
  resetReserved(out)
  out.fill(0, 16, 32) // pre_defined and reserved, where QuickTime has version, vendor and quality
  let at = 8 + VISUAL_FIELDS
  for (const box of kept) {
    out.set(bytes.subarray(box.start, box.end), at)
    at += box.end - box.start
  }
  return out
}

function header(size: number, type: string): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size)
  new DataView(out.buffer).setUint32(0, size)
  for (let i = 0; i < 4; i += 1) out[4 + i] = type.charCodeAt(i)
  return out
}

/** Six reserved bytes and data_reference_index 1: the media is in the same file. */
function resetReserved(out: Uint8Array): void {
  out.fill(0, 8, 16)
  out[15] = 1
}

/** QuickTime's `nclc` is not ISO's `nclx`; ICC profiles are large and unused for video. */
function isNclx(bytes: Uint8Array, box: Box): boolean {
  return (
    box.type === 'colr' && String.fromCharCode(...bytes.subarray(box.body, box.body + 4)) === 'nclx'
  )
}
