import type { PlayOutput } from './play-source.ts'

/** The part of a socket a player's queue needs. */
export interface QueueSocket {
  write(bytes: Uint8Array): boolean
  cork(): void
  uncork(): void
  readonly writableNeedDrain: boolean
}

export interface QueueLimits {
  /** Past these the queue is emptied and the player goes on at the next key frame. Each on top of what it joined with. */
  readonly bytes: number
  readonly mediaMs: number
}

export interface QueueHooks {
  /** After `finish`, when all is written. */
  onFinished(): void
  /** More than 256 KiB of headers, events and answers wait: this client is to be cut. */
  onOverflow(): void
}

interface Queued {
  readonly bytes: Buffer
  readonly timeMs: number | undefined
}

/** A slow line must show that it moves: pieces of this size are drained one by one. */
const PIECE_BYTES = 64 * 1024
/** Small messages cost more than their bytes. */
const MESSAGES_MAX = 50_000
/** Of what is never dropped; a client that asks and asks and reads no answer must not fill the memory with them. */
const UNDROPPABLE_BYTES_MAX = 256 * 1024

/**
 * What waits for one player's socket. A player that falls behind loses frames up to the next key frame, never headers;
 * nobody else notices. Frames are shared with other players, so the queue holds references, not copies.
 */
export class PlayerQueue implements PlayOutput {
  readonly #socket: QueueSocket
  readonly #limits: QueueLimits
  readonly #now: () => number
  readonly #hooks: QueueHooks
  #queue: Queued[] = []
  #head = 0
  /** How much of the first queued message is written. */
  #offset = 0
  #bytes = 0
  /** How much of them is no frame. */
  #undroppableBytes = 0
  #joinBytes = 0
  #joinMs = 0
  #waitsForKey = false
  #finishing = false
  #held = false
  #dropped = 0
  #stalledSince: number | undefined

  constructor(
    socket: QueueSocket,
    limits: QueueLimits,
    monotonic: () => number,
    hooks: QueueHooks,
  ) {
    this.#socket = socket
    this.#limits = limits
    this.#now = monotonic
    this.#hooks = hooks
  }

  get droppedFrames(): number {
    return this.#dropped
  }

  get queuedBytes(): number {
    return this.#bytes
  }

  /** How long the socket has taken nothing, in milliseconds. */
  stalledMs(): number {
    return this.#stalledSince === undefined ? 0 : this.#now() - this.#stalledSince
  }

  /** Time in which this process itself stood still: what the socket took meanwhile is not known yet. */
  discount(ms: number): void {
    if (this.#stalledSince !== undefined)
      this.#stalledSince = Math.min(this.#now(), this.#stalledSince + ms)
  }

  /** What comes until `joined` is the past of a stream, all at once. */
  join(): void {
    this.#held = true
    this.#waitsForKey = false
  }

  /** Everything since the last key frame is queued: that much may wait beyond the limits. */
  joined(): void {
    this.#joinBytes = this.#bytes
    this.#joinMs = this.#mediaMs()
    this.#held = false
    this.pump()
  }

  send(bytes: Buffer): void {
    if (this.#finishing) return
    this.#undroppableBytes += bytes.length
    this.#add({ bytes, timeMs: undefined })
    if (this.#undroppableBytes > UNDROPPABLE_BYTES_MAX) this.#hooks.onOverflow()
  }

  sendFrame(bytes: Buffer, frame: { readonly key: boolean; readonly timeMs: number }): void {
    if (this.#waitsForKey && !frame.key) {
      this.#dropped += 1
      return
    }
    this.#waitsForKey = false
    if (this.#isOpen() && bytes.length <= PIECE_BYTES) {
      // Nothing waits, here or in the socket: most frames of most players.
      if (!this.#socket.write(bytes)) this.#stalledSince = this.#now()
      return
    }
    this.#add({ bytes, timeMs: frame.timeMs })
    if (!this.#held && this.#isFull()) this.dropFrames()
  }

  finish(): void {
    if (this.#finishing) return
    this.#finishing = true
    this.pump()
  }

  /** Writes what the socket takes; to be called when it has drained. */
  pump(): void {
    if (this.#held) return
    this.#socket.cork()
    while (this.#head < this.#queue.length && !this.#socket.writableNeedDrain) this.#writePiece()
    this.#socket.uncork()
    this.#stalledSince = this.#socket.writableNeedDrain ? this.#now() : undefined
    if (this.#head === this.#queue.length) {
      this.#queue = []
      this.#head = 0
      this.#joinBytes = 0
      this.#joinMs = 0
      if (this.#finishing) this.#hooks.onFinished()
    }
  }

  #isOpen(): boolean {
    return (
      this.#queue.length === 0 &&
      !this.#held &&
      !this.#finishing &&
      this.#stalledSince === undefined &&
      !this.#socket.writableNeedDrain
    )
  }

  #add(item: Queued): void {
    if (this.#finishing) return
    this.#queue.push(item)
    this.#bytes += item.bytes.length
    if (!this.#held && this.#stalledSince === undefined) this.pump()
  }

  #writePiece(): void {
    const item = this.#queue[this.#head]
    if (!item) return
    const end = Math.min(this.#offset + PIECE_BYTES, item.bytes.length)
    this.#socket.write(item.bytes.subarray(this.#offset, end))
    this.#bytes -= end - this.#offset
    if (item.timeMs === undefined) this.#undroppableBytes -= end - this.#offset
    this.#offset = end
    if (end < item.bytes.length) return
    this.#offset = 0
    this.#head += 1
    if (this.#head >= 256) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
  }

  #length(): number {
    return this.#queue.length - this.#head
  }

  #isFull(): boolean {
    return (
      this.#bytes > this.#limits.bytes + this.#joinBytes ||
      this.#length() > MESSAGES_MAX ||
      this.#mediaMs() > this.#limits.mediaMs + this.#joinMs
    )
  }

  /** How much media waits; wild timestamps of a publisher count as full at most. */
  #mediaMs(): number {
    let first: number | undefined
    for (let i = this.#head; i < this.#queue.length && first === undefined; i += 1) {
      first = this.#queue[i]?.timeMs
    }
    let last: number | undefined
    for (let i = this.#queue.length - 1; i >= this.#head && last === undefined; i -= 1) {
      last = this.#queue[i]?.timeMs
    }
    return first === undefined || last === undefined ? 0 : Math.abs(last - first)
  }

  /** Forgets frames that wait; a message that the socket has begun to take goes out whole, or the chunks would not fit. */
  dropFrames(): void {
    const kept: Queued[] = []
    let bytes = 0
    for (let i = this.#head; i < this.#queue.length; i += 1) {
      const item = this.#queue[i]
      if (!item) continue
      const begun = i === this.#head && this.#offset > 0
      if (item.timeMs === undefined || begun) {
        kept.push(item)
        bytes += item.bytes.length - (begun ? this.#offset : 0)
      } else {
        this.#dropped += 1
      }
    }
    this.#queue = kept
    this.#head = 0
    this.#bytes = bytes
    this.#waitsForKey = true
  }
}
