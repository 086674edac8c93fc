/** Requests are averaged over so long: longer than players without low latency wait between two. */
const SPAN_SECONDS = 6

/**
 * About how many watch: HLS has no sessions, but each player asks for the playlist again and again, so a request stands
 * for one viewer until that viewer's next one is due. Bounded: one figure for each second of the span.
 */
export class Audience {
  readonly #sums: { second: number; viewerSeconds: number }[] = []

  /** A playlist was given; its viewer asks again after `dueSeconds`. `now`: of a clock that never goes back. */
  add(dueSeconds: number, now: number): void {
    const second = Math.floor(now / 1000)
    const last = this.#sums.at(-1)
    if (last && last.second >= second) last.viewerSeconds += dueSeconds
    else this.#sums.push({ second, viewerSeconds: dueSeconds })
    if (this.#sums.length > SPAN_SECONDS + 1) this.#sums.shift()
  }

  /** Of the last whole seconds; at least 1 while anyone asks. */
  count(now: number): number {
    const second = Math.floor(now / 1000)
    const recent = this.#sums.filter((one) => second - one.second <= SPAN_SECONDS)
    if (recent.length === 0) return 0
    const whole = recent.filter((one) => one.second < second)
    const sum = whole.reduce((seconds, one) => seconds + one.viewerSeconds, 0)
    return Math.max(1, Math.round(sum / SPAN_SECONDS))
  }
}
