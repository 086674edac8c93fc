import type { Clock } from '../lib/clock.ts'
import { type Random, readableToken } from '../lib/random.ts'
import type { Frame } from '../codecs/frame.ts'
import { LiveStream } from './live-stream.ts'

/** The session behind a stream, as the registry sees it. */
export interface Publisher {
  /** For logs and the API: protocol and remote address. */
  readonly description: string
  /** It stands by, and is on air while no other publisher of the name sends. */
  readonly backup?: boolean | undefined
  /** Ends the session at once; its stream has already ended. */
  cut(reason: string): void
  /** False once the key it came with is revoked. */
  mayPublish(): boolean
}

/** Who publishes a name now. */
export interface Publish {
  readonly stream: LiveStream
  readonly publisher: Publisher
  /** False for the one that stands by. */
  readonly onAir: boolean
}

interface Entry {
  readonly stream: LiveStream
  readonly publisher: Publisher
  /** Monotonic. */
  lastFrameAt: number
}

type Role = 'primary' | 'backup'

/** The publishers of one name. */
interface Slot {
  readonly entries: Map<Role, Entry>
  onAir: Entry | undefined
  /** While two publish. */
  watching: Disposable | undefined
}

/** A publisher without a frame for so long is relieved: frames come each 21 to 42 ms, and a second is what viewers are promised. */
const SILENT_MS = 750
const CHECK_MS = 125

/** Who publishes what. One publisher a name and a backup: of each the newest wins. */
export class StreamRegistry {
  readonly #clock: Clock
  readonly #random: Random
  readonly #slots = new Map<string, Slot>()
  readonly #observers = new Set<(stream: LiveStream) => void>()

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  /** Starts a stream of this name; whoever published it before with such a key is cut with `replaced`. */
  publish(name: string, publisher: Publisher): LiveStream {
    const role = publisher.backup ? 'backup' : 'primary'
    const slot = this.#slotOf(name)
    const former = slot.entries.get(role)
    const stream = new LiveStream(name, readableToken(this.#random, 8), this.#clock.now())
    const entry: Entry = { stream, publisher, lastFrameAt: this.#clock.monotonic() }
    slot.entries.set(role, entry)
    stream.addReader({
      onTracks: () => {},
      onFrame: (frame) => this.#onFrame(slot, entry, frame),
      onEnd: () => this.#gone(name, role, entry),
    })
    // What was on air by its key is followed by the one that stands by, or by this one.
    former?.stream.end('replaced')
    former?.publisher.cut('another publisher took over')
    if (!slot.onAir) this.#air(slot, entry)
    if (slot.entries.size > 1) this.#watch(slot)
    return stream
  }

  /** The one on air. */
  get(name: string): LiveStream | undefined {
    return this.#slots.get(name)?.onAir?.stream
  }

  list(): readonly Publish[] {
    return [...this.#slots.values()].flatMap(({ entries, onAir }) =>
      [...entries.values()].map((entry) => ({
        stream: entry.stream,
        publisher: entry.publisher,
        onAir: entry === onAir,
      })),
    )
  }

  /** Called with each stream that goes on air from now on; one that was relieved comes again when it is back. */
  observe(observer: (stream: LiveStream) => void): Disposable {
    this.#observers.add(observer)
    return { [Symbol.dispose]: () => void this.#observers.delete(observer) }
  }

  #slotOf(name: string): Slot {
    const known = this.#slots.get(name)
    if (known) return known
    const slot: Slot = { entries: new Map(), onAir: undefined, watching: undefined }
    this.#slots.set(name, slot)
    return slot
  }

  #onFrame(slot: Slot, entry: Entry, frame: Frame): void {
    entry.lastFrameAt = this.#clock.monotonic()
    // Where viewers can begin with it, and it has not been heard of: nobody waits for its key frame.
    const back = slot.onAir !== entry && slot.entries.get('primary') === entry
    if (back && entry.stream.beginsWith(frame)) this.#air(slot, entry)
  }

  #gone(name: string, role: Role, entry: Entry): void {
    const slot = this.#slots.get(name)
    if (!slot) return
    if (slot.entries.get(role) === entry) slot.entries.delete(role)
    if (slot.entries.size < 2) {
      slot.watching?.[Symbol.dispose]()
      slot.watching = undefined
    }
    if (slot.entries.size === 0) this.#slots.delete(name)
    if (slot.onAir !== entry) return
    slot.onAir = undefined
    // The one that came in its place has no picture yet.
    const next = slot.entries.get('backup') ?? slot.entries.get('primary')
    if (next && next.stream.ended === undefined) this.#air(slot, next)
  }

  #watch(slot: Slot): void {
    let due = this.#clock.monotonic() + CHECK_MS
    slot.watching ??= this.#clock.every(CHECK_MS, () => {
      const now = this.#clock.monotonic()
      // A process that stood still reads what waits in its sockets first.
      const late = now - due > CHECK_MS
      due = now + CHECK_MS
      if (late) return
      const silent = (entry: Entry) => now - entry.lastFrameAt >= SILENT_MS
      const { onAir } = slot
      const other = [...slot.entries.values()].find((entry) => entry !== onAir)
      if (onAir && other && silent(onAir) && !silent(other)) this.#air(slot, other)
    })
  }

  #air(slot: Slot, entry: Entry): void {
    slot.onAir = entry
    for (const observer of this.#observers) observer(entry.stream)
  }
}
