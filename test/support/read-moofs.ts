/** What a fragment of one track says of time, in ticks (ISO/IEC 14496-12 §8.8). */
export interface ReadMoof {
  readonly decodeTime: number
  readonly durations: readonly number[]
}

const DEFAULT_DURATION = 0x8

/** Reads the fragments this server writes: one traf, one trun each; durations in trun or as the default of tfhd. */
export function readMoofs(bytes: Buffer): readonly ReadMoof[] {
  const moofs: ReadMoof[] = []
  for (let at = 0; at + 8 <= bytes.length; at += bytes.readUInt32BE(at)) {
    if (bytes.toString('latin1', at + 4, at + 8) !== 'moof') continue
    moofs.push(readMoof(bytes.subarray(at, at + bytes.readUInt32BE(at))))
  }
  return moofs
}

function readMoof(moof: Buffer): ReadMoof {
  const tfhd = moof.indexOf('tfhd') + 4
  const trun = moof.indexOf('trun') + 4
  const shared =
    (moof.readUInt32BE(tfhd) & DEFAULT_DURATION) !== 0 ? moof.readUInt32BE(tfhd + 8) : undefined
  const flags = moof.readUInt32BE(trun) & 0xffffff
  const count = moof.readUInt32BE(trun + 4)
  const perSample = [0x100, 0x200, 0x400, 0x800].filter((flag) => (flags & flag) !== 0).length * 4
  const durations = Array.from({ length: count }, (_, i) =>
    shared === undefined ? moof.readUInt32BE(trun + 12 + i * perSample) : shared,
  )
  return { decodeTime: Number(moof.readBigUInt64BE(moof.indexOf('tfdt') + 8)), durations }
}
