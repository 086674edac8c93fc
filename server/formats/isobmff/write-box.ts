/** One ISO base media box: size, four-character type, then the parts in order (ISO/IEC 14496-12 §4.2). */
export function box(type: string, ...parts: readonly Uint8Array[]): Buffer {
  let size = 8
  for (const part of parts) size += part.length
  const out = Buffer.allocUnsafe(size)
  out.writeUInt32BE(size, 0)
  out.write(type, 4, 4, 'latin1')
  let at = 8
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** A box that begins with a version and 24 bits of flags. */
export function fullBox(
  type: string,
  version: number,
  flags: number,
  ...parts: readonly Uint8Array[]
): Buffer {
  return box(type, u32(((version << 24) | flags) >>> 0), ...parts)
}

export function u8(...values: readonly number[]): Buffer {
  return Buffer.from(values)
}

export function u16(...values: readonly number[]): Buffer {
  const out = Buffer.allocUnsafe(values.length * 2)
  values.forEach((value, i) => out.writeUInt16BE(value, i * 2))
  return out
}

export function u32(...values: readonly number[]): Buffer {
  const out = Buffer.allocUnsafe(values.length * 4)
  values.forEach((value, i) => out.writeUInt32BE(value, i * 4))
  return out
}

/** Signed 16.16 and 2.30 fixed-point numbers are given as the integers they are stored as. */
export function i32(...values: readonly number[]): Buffer {
  const out = Buffer.allocUnsafe(values.length * 4)
  values.forEach((value, i) => out.writeInt32BE(value, i * 4))
  return out
}

export function u64(value: number): Buffer {
  const out = Buffer.allocUnsafe(8)
  out.writeBigUInt64BE(BigInt(value), 0)
  return out
}
