import { stringify } from 'yaml'
import type { Context } from './context.ts'

/** The answer as YAML, or as it came with `--json`. */
export function printed(context: Context, answer: unknown): void {
  if (!printedAsJson(context, answer)) context.out(stringify(answer))
}

/** True when the answer was wanted, and printed, as it came. */
export function printedAsJson({ args, out }: Context, answer: unknown): boolean {
  if (!args.flags.has('--json')) return false
  out(`${JSON.stringify(answer, null, 2)}\n`)
  return true
}

/** A list in an answer; empty where there is none. */
export function rowsOf(answer: unknown, key: string): readonly unknown[] {
  const rows: unknown = memberOf(answer, key)
  return Array.isArray(rows) ? rows : []
}

/** What an answer says under a key, as `plainOf` has it. */
export function textOf(value: unknown, key: string): string {
  return plainOf(memberOf(value, key))
}

/** A value as a line of text; nothing of it may steer a terminal. */
export function plainOf(value: unknown): string {
  const plain = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value
  return typeof plain === 'string' ? plain.replaceAll(/\p{Cc}/gu, '') : ''
}

/** A time in an answer, in UTC; empty where there is none. */
export function timeOf(value: unknown, key: string): string {
  const time = memberOf(value, key)
  const date = new Date(typeof time === 'number' ? time : Number.NaN)
  return Number.isNaN(date.getTime()) ? '' : date.toISOString().replace('T', ' ').slice(0, 19)
}

/** What an answer says under a key. */
export function memberOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Readonly<Record<string, unknown>>)[key]
}

/** `1 origin`, `2 origins`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** Names in a sentence. */
export function listOf(names: readonly string[]): string {
  return names.join(', ')
}
