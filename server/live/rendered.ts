import { constants, crc32, deflateRawSync, gzipSync } from 'node:zlib'

/** Level 4: within 3 % of the default's size for playlists at half its time. */
const LEVEL = 4

/** Text that never changes: encoded and compressed once, in whatever playlists it stands. */
export class TextBlock {
  readonly plain: Buffer
  #deflated: Buffer | undefined

  constructor(text: string) {
    this.plain = Buffer.from(text, 'utf8')
  }
  get deflated(): Buffer {
    this.#deflated ??= deflatePiece(this.plain)
    return this.#deflated
  }
}

/** A text rendered once for each version of the window, however many ask. */
export class Rendered {
  readonly #pieces: readonly (string | TextBlock)[]
  #plain: readonly Buffer[] | undefined
  #gzip: readonly Buffer[] | undefined

  constructor(...pieces: readonly (string | TextBlock)[]) {
    // Each piece by itself costs a compressor: texts side by side are one.
    const joined: (string | TextBlock)[] = []
    for (const piece of pieces) {
      const last = joined.at(-1)
      if (typeof piece === 'string' && typeof last === 'string')
        joined[joined.length - 1] = last + piece
      else joined.push(piece)
    }
    this.#pieces = joined
  }
  get plain(): readonly Buffer[] {
    this.#plain ??= this.#pieces.map((piece) =>
      typeof piece === 'string' ? Buffer.from(piece, 'utf8') : piece.plain,
    )
    return this.#plain
  }
  get gzip(): readonly Buffer[] {
    this.#gzip ??=
      this.#pieces.length > 1 ? this.#joinGzip() : [gzipSync(joined(this.plain), { level: LEVEL })]
    return this.#gzip
  }

  /** RFC 1952 §2.3 around pieces that were compressed by themselves: each ends at a byte and looks back at none (RFC 1951 §3.2.3). */
  #joinGzip(): readonly Buffer[] {
    const out: Buffer[] = [HEAD]
    let crc = 0
    let size = 0
    for (const [at, bytes] of this.plain.entries()) {
      const piece = this.#pieces[at]
      crc = crc32(bytes, crc)
      size += bytes.length
      out.push(piece instanceof TextBlock ? piece.deflated : deflatePiece(bytes))
    }
    const tail = Buffer.alloc(8)
    tail.writeUInt32LE(crc, 0)
    tail.writeUInt32LE(size >>> 0, 4)
    out.push(LAST, tail)
    return out
  }
}

/** RFC 1951 §3.2.6: a last block of fixed codes with nothing in it. */
const LAST = Buffer.from([3, 0])
/** Deflate, no flags, no time, no extra flags, system unknown. */
const HEAD = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])

/** For a few kilobytes: the usual tables cost more to set up than these to fill. */
const SMALL = { windowBits: 13, memLevel: 6 }

function deflatePiece(bytes: Buffer): Buffer {
  return deflateRawSync(bytes, { ...SMALL, level: LEVEL, finishFlush: constants.Z_FULL_FLUSH })
}

function joined(pieces: readonly Buffer[]): Buffer {
  const [first] = pieces
  return pieces.length === 1 && first ? first : Buffer.concat(pieces)
}

const BLOCK = 64

/** The lines of segments that have no parts any more. Whole blocks of them are kept; only the ends are put together each time. */
export class OldLines {
  readonly #blocks = new Map<number, TextBlock>()

  /** Those of the segments from `from` to before `to`; `lineOf` gives the same for a segment each time. */
  pieces(
    from: number,
    to: number,
    lineOf: (sequence: number) => string,
  ): readonly (string | TextBlock)[] {
    const first = Math.floor(from / BLOCK)
    for (const number of this.#blocks.keys()) if (number < first) this.#blocks.delete(number)
    const pieces: (string | TextBlock)[] = []
    for (let number = first; number * BLOCK < to; number++) {
      const begin = number * BLOCK
      const whole = begin >= from && begin + BLOCK <= to
      const known = whole ? this.#blocks.get(number) : undefined
      if (known) {
        pieces.push(known)
        continue
      }
      let text = ''
      const end = Math.min(begin + BLOCK, to)
      for (let sequence = Math.max(begin, from); sequence < end; sequence++)
        text += lineOf(sequence)
      if (!whole) {
        pieces.push(text)
        continue
      }
      const block = new TextBlock(text)
      this.#blocks.set(number, block)
      pieces.push(block)
    }
    return pieces
  }

  clear(): void {
    this.#blocks.clear()
  }
}
