import { Counter, Gauge, Registry } from 'prom-client'

/** A number that only grows. `add` is one addition: cheap enough for the hit path. */
export interface CountingMetric {
  add(amount?: number): void
  readonly value: number
}

/** Prometheus metrics. Counters are plain numbers here and handed to prom-client only when scraped. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #counters = new Map<string, CountingMetric>()

  counter(name: string, help: string): CountingMetric {
    const state = { value: 0 }
    new Counter({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.reset()
        this.inc(state.value)
      },
    })
    const counter: CountingMetric = {
      add: (amount = 1) => {
        state.value += amount
      },
      get value() {
        return state.value
      },
    }
    this.#counters.set(name, counter)
    return counter
  }

  /** What a counter stands at; 0 when there is none of this name. */
  read(name: string): number {
    return this.#counters.get(name)?.value ?? 0
  }

  /** A value that is read when scraped. */
  gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read())
      },
    })
  }

  /** Prometheus text exposition format. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }

  get contentType(): string {
    return this.#registry.contentType
  }
}
