/** So many at a time, the others in the order they came. Whoever gives up while waiting is forgotten at once. */
export class Places {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Calls `begin` now, or when there is a place. Disposed, the place is given back, or not waited for any more. */
  take(begin: (place: Disposable) => void): Disposable {
    let state: 'waiting' | 'begun' | 'over' = 'waiting'
    const start = () => {
      state = 'begun'
      begin(place)
    }
    const place: Disposable = {
      [Symbol.dispose]: () => {
        if (state === 'waiting') this.#waiting.delete(start)
        if (state === 'begun') this.#give()
        state = 'over'
      },
    }
    if (this.#free > 0) {
      this.#free--
      start()
    } else this.#waiting.add(start)
    return place
  }

  #give(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      next()
      return
    }
    this.#free++
  }
}
