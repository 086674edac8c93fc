import { availableParallelism, loadavg } from 'node:os'
import { systemRandom } from '../../server/lib/random.ts'

/** One figure: what was asked for, what was measured, and whether that holds. */
export interface Row {
  readonly figure: string
  readonly asked: string
  readonly measured: string
  readonly holds: boolean
}

/** Prints the figures and how busy the machine was; the process fails when one does not hold. */
export function report(rows: readonly Row[]): void {
  console.table(rows.map(({ holds, ...row }) => ({ ...row, '': holds ? 'ok' : 'MISSED' })))
  const load = loadavg().map((value) => value.toFixed(1))
  console.log(`${availableParallelism()} cores, load average ${load.join(' ')}`)
  if (rows.some((row) => !row.holds)) process.exitCode = 1
}

/** A row whose figure is a number that must not exceed `limit`. */
export function atMost(figure: string, limit: number, value: number, unit = 'ms', more = ''): Row {
  return {
    figure,
    asked: `≤ ${limit} ${unit}`,
    measured: `${round(value)} ${unit}${more === '' ? '' : ` (${more})`}`,
    holds: value <= limit,
  }
}

/** A row whose figure is a number that must reach `limit`. */
export function atLeast(figure: string, limit: number, value: number, unit = 'ms', more = ''): Row {
  return {
    figure,
    asked: `≥ ${limit} ${unit}`,
    measured: `${round(value)} ${unit}${more === '' ? '' : ` (${more})`}`,
    holds: value >= limit,
  }
}

/** The value below which `share` of them lie; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Median and quartiles. */
export function spread(values: readonly number[]): string {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => brief(quantile(values, share)))
  return `${middle} (${low} to ${high})`
}

/** The same ones in an order of chance, so that none always follows the same other. */
export function shuffled<T>(values: readonly T[]): readonly T[] {
  return values
    .map((value) => ({ value, at: systemRandom.fraction() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value)
}

function brief(value: number): string {
  return value < 10 ? value.toFixed(2) : String(Math.round(value))
}

export function list(values: readonly number[]): string {
  return values.map((value) => round(value)).join(', ')
}

function round(value: number): number {
  return Math.abs(value) < 10 ? Math.round(value * 10) / 10 : Math.round(value)
}
