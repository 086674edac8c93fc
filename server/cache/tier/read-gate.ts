import { type Deferred, deferred } from '../../lib/deferred.ts'

interface Waiting extends Deferred<void> {
  readonly bytes: number
}

/** Reads under way at once, and bytes of what they read: a record is held in memory that no bound of the cache counts. */
const READS_MAX = 64
const BYTES_MAX = 64 * 1024 * 1024
/** Those who come when so many wait are not served from the disk. */
const WAITING_MAX = 4096

/** Lets so many reads go on at once; the others wait in the order they came. */
export class ReadGate {
  #reads = 0
  #bytes = 0
  #waiting: Waiting[] = []

  /** undefined: go on at once; false: too many wait already. Whoever goes on says `leave` afterwards. */
  enter(bytes: number): Promise<void> | undefined | false {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#begin(bytes)
      return undefined
    }
    if (this.#waiting.length >= WAITING_MAX) return false
    const waiting = { bytes, ...deferred() }
    this.#waiting.push(waiting)
    return waiting.promise
  }

  leave(bytes: number): void {
    this.#reads--
    this.#bytes -= bytes
    let woken = 0
    for (const next of this.#waiting) {
      if (!this.#fits(next.bytes)) break
      this.#begin(next.bytes)
      next.resolve()
      woken++
    }
    if (woken > 0) this.#waiting = this.#waiting.slice(woken)
  }

  /** One always goes on, however long its record is. */
  #fits(bytes: number): boolean {
    if (this.#reads === 0) return true
    return this.#reads < READS_MAX && this.#bytes + bytes <= BYTES_MAX
  }

  #begin(bytes: number): void {
    this.#reads++
    this.#bytes += bytes
  }
}
