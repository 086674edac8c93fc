import type { KeyHash } from './hash-index.ts'

export interface WriteOperation {
  readonly hash: KeyHash
  readonly kind: 'put' | 'gone'
  readonly parts: readonly Uint8Array[]
  readonly length: number
  /** Forgotten before it was written. */
  dead: boolean
}

const BATCH_BYTES = 4 * 1024 * 1024
// IOV_MAX is 1024.
const BATCH_PARTS = 1000

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
    return this.#puts.has(nameOf(hash))
  }

  /** What is on its way under this hash is not to be found when it is written; false when nothing is. */
  forget(hash: KeyHash): boolean {
    const operation = this.#puts.get(nameOf(hash))
    if (operation) operation.dead = true
    return operation !== undefined
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
    if (operation.kind === 'put') this.#puts.set(nameOf(operation.hash), operation)
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
