/** What kind of file begins with these bytes, in people's words; `isobmff` for MP4, MOV and their kin. */
export type Container =
  | { readonly kind: 'isobmff' }
  | { readonly kind: 'other'; readonly name: string; readonly browserPlaysFile: boolean }
  | { readonly kind: 'unknown' }

const ISOBMFF_BOXES = [
  'ftyp',
  'moov',
  'mdat',
  'free',
  'skip',
  'wide',
  'styp',
  'sidx',
  'moof',
  'pnot',
  'uuid',
]
const TS_PACKET = 188

/** Tells containers apart by their first bytes; 1 KiB is enough. */
export function detectContainer(head: Uint8Array): Container {
  const text = (at: number, length: number) =>
    String.fromCharCode(...head.subarray(at, at + length))
  const other = (name: string, browserPlaysFile = false): Container => ({
    kind: 'other',
    name,
    browserPlaysFile,
  })
  if (ISOBMFF_BOXES.includes(text(4, 4))) return { kind: 'isobmff' }
  if (head[0] === 0x1a && head[1] === 0x45 && head[2] === 0xdf && head[3] === 0xa3) {
    return text(0, 64).includes('webm') ? other('WebM', true) : other('Matroska (MKV)')
  }
  if (text(0, 3) === 'FLV') return other('FLV')
  if (text(0, 4) === 'RIFF') {
    if (text(8, 4) === 'WAVE') return other('WAV', true)
    return other(text(8, 4) === 'AVI ' ? 'AVI' : 'RIFF')
  }
  if (text(0, 4) === 'OggS') return other('Ogg', true)
  if (text(0, 4) === 'fLaC') return other('FLAC', true)
  if (text(0, 3) === 'ID3') return other('MP3', true)
  if (isTransportStream(head)) return other('MPEG-TS')
  if (head[0] === 0 && head[1] === 0 && head[2] === 1 && head[3] === 0xba) return other('MPEG-PS')
  if (head[0] === 0xff && ((head[1] ?? 0) & 0xf6) === 0xf0) return other('AAC (ADTS)', true)
  // Layer III: FF FE is also how a text in UTF-16 begins.
  if (head[0] === 0xff && ((head[1] ?? 0) & 0xe6) === 0xe2) return other('MP3', true)
  return { kind: 'unknown' }
}

function isTransportStream(head: Uint8Array): boolean {
  // M2TS puts four bytes of arrival time before each packet.
  for (const [start, step] of [
    [0, TS_PACKET],
    [4, TS_PACKET + 4],
  ] as const) {
    if ([0, 1, 2].every((packet) => head[start + packet * step] === 0x47)) return true
  }
  return false
}
