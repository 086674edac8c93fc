import { type Box, broken, FieldReader } from './read-boxes.ts'

/** objectTypeIndication and decoder specific info of an `esds` box (ISO/IEC 14496-1 §7.2.6.5 to §7.2.6.7). */
export interface ElementaryStream {
  readonly objectType: number
  /** AudioSpecificConfig for AAC; empty when there is none. */
  readonly config: Uint8Array
}

const ES = 3
const DECODER_CONFIG = 4
const DECODER_SPECIFIC_INFO = 5

/** Throws `media-broken`. */
export function readEsds(bytes: Uint8Array, esds: Box): ElementaryStream {
  const fields = new FieldReader(bytes, esds)
  fields.fullBox()
  expectDescriptor(fields, ES)
  fields.skip(2)
  const flags = fields.uint8()
  if (flags & 0x80) fields.skip(2)
  if (flags & 0x40) fields.skip(fields.uint8())
  if (flags & 0x20) fields.skip(2)
  expectDescriptor(fields, DECODER_CONFIG)
  const objectType = fields.uint8()
  fields.skip(12)
  if (fields.left < 2 || fields.uint8() !== DECODER_SPECIFIC_INFO) {
    return { objectType, config: new Uint8Array(0) }
  }
  const length = descriptorLength(fields)
  return { objectType, config: new Uint8Array(fields.bytes(Math.min(length, fields.left))) }
}

function expectDescriptor(fields: FieldReader, tag: number): void {
  const found = fields.uint8()
  if (found !== tag) throw broken(`esds has descriptor ${found} where ${tag} belongs`)
  descriptorLength(fields)
}

/** §8.3.3: seven bits a byte, at most four bytes. */
function descriptorLength(fields: FieldReader): number {
  let length = 0
  for (let i = 0; i < 4; i += 1) {
    const byte = fields.uint8()
    length = length * 128 + (byte & 127)
    if (byte < 128) return length
  }
  throw broken('esds has a descriptor length of more than four bytes')
}
