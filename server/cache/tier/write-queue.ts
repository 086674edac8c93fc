import type { KeyHash } from './hash-index.ts'
import type { RecordContent } from './record.ts'

export interface WriteOperation {
  readonly hash: KeyHash
  readonly kind: 'put' | 'gone'
  readonly content: RecordContent
  readonly parts: readonly Uint8Array[]
  readonly length: number
  /** Forgotten, or followed by a newer one, before it was written. */
  dead: boolean
}

const BATCH_BYTES = 4 * 1024 * 1024
// Bounds the time of one turn; large parts, at most one of four megabytes' 16 KiB each, stay below IOV_MAX (1024).
const BATCH_PARTS = 12_000

/** Records that wait to be written or are being written, in order. */
export class WriteQueue {
  #pending: WriteOperation[] = []
  readonly #puts = new Map<string, WriteOperation>()
  #bytes = 0

  /** Of those that wait and those in the batch that was taken. */
  get bytes(): number {
    return this.#bytes
  }
  get first(): WriteOperation | undefined {
    return this.#pending[0]
  }

  push(operation: WriteOperation): void {
    this.#pending.push(operation)
    this.begin(operation)
  }

  /** Whether a record of this hash is on its way. */
  has(hash: KeyHash): boolean {
    return this.#puts.size > 0 && this.#puts.has(nameOf(hash))
  }

  /** What the record of this hash that is on its way says. */
  find(hash: KeyHash): RecordContent | undefined {
    return this.#puts.size > 0 ? this.#puts.get(nameOf(hash))?.content : undefined
  }

  /** What is on its way under this hash is not to be found when it is written; false when nothing is. */
  forget(hash: KeyHash): boolean {
    const name = nameOf(hash)
    const operation = this.#puts.get(name)
    if (!operation) return false
    operation.dead = true
    this.#puts.delete(name)
    return true
  }

  /** The next ones for one write, as long as `fits` takes their number and bytes; each is given to `done` afterwards. */
  take(fits: (bytes: number, operations: number) => boolean): readonly WriteOperation[] {
    let bytes = 0
    let parts = 0
    let taken = 0
    for (const operation of this.#pending) {
      bytes += operation.length
      parts += operation.parts.length
      if (taken > 0 && (bytes > BATCH_BYTES || parts > BATCH_PARTS)) break
      if (!fits(bytes, taken + 1)) break
      taken++
    }
    return this.#pending.splice(0, taken)
  }

  /** An operation that is written past the queue. */
  begin(operation: WriteOperation): void {
    this.#bytes += operation.length
    if (operation.kind !== 'put') return
    const name = nameOf(operation.hash)
    const former = this.#puts.get(name)
    if (former) former.dead = true
    this.#puts.set(name, operation)
  }

  done(operation: WriteOperation): void {
    this.#bytes -= operation.length
    const name = nameOf(operation.hash)
    if (this.#puts.get(name) === operation) this.#puts.delete(name)
  }

  clear(): void {
    this.#pending = []
    this.#puts.clear()
    this.#bytes = 0
  }
}

function nameOf({ high, low }: KeyHash): string {
  return `${high}:${low}`
}
