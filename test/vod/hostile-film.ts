import { readFile } from 'node:fs/promises'
import { box, fullBox, i32, u16, u32 } from '../../server/formats/isobmff/write-box.ts'
import { makeFilm } from '../support/media.ts'

export const FTYP = box('ftyp', Buffer.from('isom'), u32(0), Buffer.from('isom'))

/** A moov with one video track whose sample description is that of a real film. */
export async function moovWith(
  tables: readonly Buffer[],
  ...others: readonly Buffer[]
): Promise<Buffer> {
  const film = await readFile(await makeFilm({ seconds: 1, audio: false }))
  const at = film.indexOf('stsd') - 4
  const stsd = film.subarray(at, at + film.readUInt32BE(at))
  const handler = fullBox('hdlr', 0, 0, u32(0), Buffer.from('vide'), u32(0, 0, 0), Buffer.alloc(1))
  const matrix = i32(65536, 0, 0, 0, 65536, 0, 0, 0, 0x40000000)
  const size = u32(160 << 16, 120 << 16)
  const header = fullBox('tkhd', 0, 7, u32(0, 0, 1, 0, 0, 0, 0, 0, 0), matrix, size)
  const times = fullBox('mdhd', 0, 0, u32(0, 0, 1000, 0), u16(0x55c4, 0))
  const media = box('mdia', times, handler, box('minf', box('stbl', stsd, ...tables)))
  return box('moov', box('trak', header, media), ...others)
}

/** Of a film in fragments. */
export const NO_SAMPLES = [
  fullBox('stts', 0, 0, u32(0)),
  fullBox('stsc', 0, 0, u32(0)),
  fullBox('stsz', 0, 0, u32(0, 0)),
  fullBox('stco', 0, 0, u32(0)),
]
