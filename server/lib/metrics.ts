import { Counter, Gauge, Registry } from 'prom-client'

/** A number that only grows. `add` is one addition: cheap enough for the hit path. */
export interface CountingMetric {
  add(amount?: number): void
  readonly value: number
}

/** What a counter or gauge of some process stands at. */
export interface MetricValue {
  readonly name: string
  readonly help: string
  readonly kind: 'counter' | 'gauge'
  readonly value: number
}

/** Names of other processes that are kept; what is beyond is left out. */
const FOREIGN_MAX = 500

/** Prometheus metrics. Counters are plain numbers here and handed to prom-client only when scraped. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #counters = new Map<string, CountingMetric>()
  readonly #own = new Map<string, () => MetricValue>()
  #foreign: () => Iterable<MetricValue> = () => []

  counter(name: string, help: string): CountingMetric {
    const state = { value: 0 }
    const total = () => state.value + this.#elsewhere(name)
    this.#own.set(name, () => ({ name, help, kind: 'counter', value: state.value }))
    new Counter({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.reset()
        this.inc(total())
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

  /** What is measured in this process alone. */
  values(): readonly MetricValue[] {
    return [...this.#own.values()].map((read) => read())
  }

  /** Adds what processes of the same server measured: every value read or scraped here is the sum. */
  include(source: () => Iterable<MetricValue>): void {
    this.#foreign = source
  }

  /** What a counter stands at; 0 when there is none of this name. */
  read(name: string): number {
    return (this.#counters.get(name)?.value ?? 0) + this.#elsewhere(name)
  }

  /** A value that is read when scraped. */
  gauge(name: string, help: string, read: () => number): void {
    const total = () => read() + this.#elsewhere(name)
    this.#own.set(name, () => ({ name, help, kind: 'gauge', value: read() }))
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(total())
      },
    })
  }

  /** A value for each of several things, read when scraped; of this process alone. */
  gaugeOf(
    name: string,
    help: string,
    label: string,
    read: () => Iterable<readonly [value: string, amount: number]>,
  ): void {
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [this.#registry],
      collect() {
        this.reset()
        for (const [value, amount] of read()) this.set({ [label]: value }, amount)
      },
    })
  }

  /** Prometheus text exposition format. */
  text(): Promise<string> {
    for (const { name, help, kind } of this.#foreign()) {
      if (this.#own.has(name) || this.#own.size >= FOREIGN_MAX) continue
      if (kind === 'counter') this.counter(name, help)
      else this.gauge(name, help, () => 0)
    }
    return this.#registry.metrics()
  }

  #elsewhere(name: string): number {
    let sum = 0
    for (const one of this.#foreign()) if (one.name === name) sum += one.value
    return sum
  }

  get contentType(): string {
    return this.#registry.contentType
  }
}
