import { readFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import type { Clock } from '../lib/clock.ts'

/** Processor time so far, in milliseconds of one core. */
export interface CpuTimes {
  readonly idle: number
  /** Of this container alone, where one bounds it. */
  readonly used?: { readonly ms: number; readonly cores: number } | undefined
}

interface Taken extends CpuTimes {
  readonly at: number
}

const EVERY_MS = 1000
const KEPT = 16

/** How much of the machine nobody uses, looked at each second while it is open. */
export class MachineRoom implements Disposable {
  readonly cores: number
  readonly #clock: Clock
  readonly #read: () => CpuTimes
  readonly #ticking: Disposable
  readonly #taken: Taken[] = []

  constructor(clock: Clock, read: () => CpuTimes = readCpuTimes, cores = availableParallelism()) {
    this.#clock = clock
    this.#read = read
    this.cores = Math.min(cores, read().used?.cores ?? cores)
    this.#take()
    this.#ticking = clock.every(EVERY_MS, () => this.#take())
  }

  /** Cores that had nothing to do, on average of about the last `ms`; undefined before there is anything to compare. */
  idleCores(ms: number): number | undefined {
    const now = this.#now()
    const from = this.#taken.findLast(({ at }) => now.at - at >= ms) ?? this.#taken[0]
    if (!from || now.at - from.at < Math.min(ms, EVERY_MS / 4)) return undefined
    const span = now.at - from.at
    const idle = (now.idle - from.idle) / span
    if (!now.used || !from.used) return Math.max(0, Math.min(idle, this.cores))
    const left = now.used.cores - (now.used.ms - from.used.ms) / span
    return Math.max(0, Math.min(idle, left))
  }

  [Symbol.dispose](): void {
    this.#ticking[Symbol.dispose]()
  }

  #now(): Taken {
    return { ...this.#read(), at: this.#clock.monotonic() }
  }

  #take(): void {
    this.#taken.push(this.#now())
    if (this.#taken.length > KEPT) this.#taken.shift()
  }
}

function readCpuTimes(): CpuTimes {
  const idle = cpus().reduce((sum, { times }) => sum + times.idle, 0)
  return { idle, used: readGroup() }
}

/** The bound and the use of a cgroup (version 2), which is how containers are given less than the machine. */
function readGroup(): CpuTimes['used'] {
  try {
    const [quota, period] = readFileSync('/sys/fs/cgroup/cpu.max', 'latin1').split(' ').map(Number)
    if (!quota || !period) return undefined
    const used = /^usage_usec (\d+)$/m.exec(readFileSync('/sys/fs/cgroup/cpu.stat', 'latin1'))
    return used ? { ms: Number(used[1]) / 1000, cores: quota / period } : undefined
  } catch {
    // No cgroup, or of another version: the machine's own figures stand.
    return undefined
  }
}
