import type { Lane } from './lane.ts'

/** A frame as its publisher stamped it; milliseconds. */
export interface RawFrame {
  /** Decode time. */
  readonly rawMs: number
  /** Presentation time minus decode time. */
  readonly reorderMs: number
  readonly key: boolean
  readonly data: Uint8Array
}

/** A rendition that is cut where the one that leads is cut: sound, further pictures of the publisher, rungs of a ladder. */
export interface Follower {
  readonly lane: Lane
  /** Length of its frames; 0 while unknown. */
  readonly frameSeconds: number
  /** The lead's timeline begins anew at `startMs` of the window's: window time = raw time + `offsetMs`. */
  anchor(offsetMs: number, startMs: number): void
  take(frame: RawFrame): void
  /** The lead has got to `leadMs` of the window's timeline. */
  advance(leadMs: number): void
  /** Ends what is open; nothing is placed before the next `anchor`. */
  finish(endMs: number): void
}

/** Frames that wait for the lead, bounded in number and bytes: the oldest go first. */
export class FrameQueue {
  readonly #most: { readonly frames: number; readonly bytes: number }
  #frames: RawFrame[] = []
  #bytes = 0

  constructor(most: { readonly frames: number; readonly bytes: number }) {
    this.#most = most
  }

  get first(): RawFrame | undefined {
    return this.#frames[0]
  }
  get last(): RawFrame | undefined {
    return this.#frames.at(-1)
  }
  get length(): number {
    return this.#frames.length
  }

  /** False when older ones had to go. */
  push(frame: RawFrame): boolean {
    this.#frames.push(frame)
    this.#bytes += frame.data.length
    const before = this.#frames.length
    while (this.#frames.length > this.#most.frames || this.#bytes > this.#most.bytes) this.shift()
    return this.#frames.length === before
  }

  shift(): RawFrame | undefined {
    const frame = this.#frames.shift()
    this.#bytes -= frame?.data.length ?? 0
    return frame
  }

  clear(): void {
    this.#frames = []
    this.#bytes = 0
  }
}
