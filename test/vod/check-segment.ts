import { expect } from 'vitest'

interface BoxView {
  readonly type: string
  readonly bytes: Buffer
}

/** The boxes that fill these bytes to the end; fails where they don't. */
export function boxesOf(bytes: Buffer): readonly BoxView[] {
  const boxes: BoxView[] = []
  let at = 0
  while (at < bytes.length) {
    const size = at + 8 <= bytes.length ? bytes.readUInt32BE(at) : 0
    expect(size).toBeGreaterThanOrEqual(8)
    expect(at + size).toBeLessThanOrEqual(bytes.length)
    boxes.push({
      type: bytes.toString('latin1', at + 4, at + 8),
      bytes: bytes.subarray(at + 8, at + size),
    })
    at += size
  }
  return boxes
}

/** Of an init section: the ids of its tracks. */
export function checkInit(bytes: Buffer): readonly number[] {
  const boxes = boxesOf(bytes)
  expect(boxes.map(({ type }) => type)).toEqual(['ftyp', 'moov'])
  const traks = boxesOf(boxes[1]?.bytes ?? bytes).filter(({ type }) => type === 'trak')
  return traks.map((trak) => {
    const tkhd = boxesOf(trak.bytes).find(({ type }) => type === 'tkhd')
    return tkhd?.bytes.readUInt32BE(12) ?? 0
  })
}

/** Of a segment: the decode time it begins with, by track. */
export function checkSegment(bytes: Buffer): ReadonlyMap<number, bigint> {
  const boxes = boxesOf(bytes)
  expect(boxes.map(({ type }) => type)).toEqual(['moof', 'mdat'])
  const [moof, mdat] = boxes
  if (!moof || !mdat) throw new Error('unreachable')
  const payload = bytes.length - mdat.bytes.length
  const runs: (readonly [start: number, end: number])[] = []
  const times = new Map<number, bigint>()
  for (const { type, bytes: traf } of boxesOf(moof.bytes)) {
    if (type === 'mfhd') continue
    expect(type).toBe('traf')
    const [tfhd, tfdt, ...truns] = boxesOf(traf)
    expect([tfhd?.type, tfdt?.type]).toEqual(['tfhd', 'tfdt'])
    times.set(tfhd?.bytes.readUInt32BE(4) ?? 0, tfdt?.bytes.readBigUInt64BE(4) ?? -1n)
    for (const trun of truns) {
      expect(trun.type).toBe('trun')
      runs.push(runOf(trun.bytes))
    }
  }
  // Together they are the payload, each byte of it once.
  runs.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  expect(runs[0]?.[0] ?? payload).toBe(payload)
  for (const [i, [start]] of runs.entries()) if (i > 0) expect(start).toBe(runs[i - 1]?.[1])
  expect(runs.at(-1)?.[1] ?? payload).toBe(bytes.length)
  return times
}

/** Where the samples of a trun begin and end, from the start of the moof. */
function runOf(trun: Buffer): readonly [number, number] {
  const flags = trun.readUInt32BE(0) & 0xffffff
  const count = trun.readUInt32BE(4)
  const start = trun.readInt32BE(8)
  const each = [0x100, 0x200, 0x400, 0x800].filter((bit) => flags & bit).length * 4
  expect([flags & 5, trun.length]).toEqual([1, 12 + count * each])
  let end = start
  for (let i = 0; i < count; i += 1)
    end += trun.readUInt32BE(12 + i * each + (flags & 0x100 ? 4 : 0))
  return [start, end]
}
