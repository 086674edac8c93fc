import * as z from 'zod'
import { formatBytes, formatSeconds, parseBytes, parseSeconds } from '../lib/units.ts'

/** What a row of a schema says of an option besides its type; it goes into the docs and the messages. */
export interface OptionFacts {
  /** The sentence for the documentation. */
  readonly description: string
  /** Ends the message `80x is not …`. */
  readonly expected: string
  /** Ends the message `the key is not …` where keys are free. */
  readonly expectedKey?: string
  /** Never shown in a message. */
  readonly secret?: boolean
  /** Environment variable and flag that set it. */
  readonly env?: string
  readonly flag?: string
}

type Row = Partial<OptionFacts> & { readonly description: string }

/** Length bounds of whatever is text, so that a configuration cannot hold a file by mistake. */
const TEXT_LIMIT = 4096

/** Text of one line. */
export function text(row: Row) {
  return z
    .string()
    .min(1)
    .max(TEXT_LIMIT)
    .regex(/^[^\p{Cc}]*$/u)
    .meta({ expected: 'text', ...row })
}

/** Text of a form. */
export function pattern(form: RegExp, row: Row & { readonly expected: string }) {
  return z.string().max(TEXT_LIMIT).regex(form).meta(row)
}

/** One of a few words. */
export function choice<const T extends readonly [string, ...string[]]>(words: T, row: Row) {
  return z.enum(words).meta({ expected: `one of ${words.join(', ')}`, ...row })
}

/** true or false. */
export function flag(row: Row) {
  return z.boolean().meta({ expected: 'true or false', ...row })
}

/** A whole number between bounds. */
export function whole(min: number, max: number, row: Row) {
  return z
    .int()
    .min(min)
    .max(max)
    .meta({ expected: `a whole number from ${min} to ${max}`, ...row })
}

/** A TCP port; 0 takes a free one. */
export function port(row: Row) {
  return z
    .int()
    .min(0)
    .max(65_535)
    .meta({ expected: 'a port (0 to 65535)', ...row })
}

const WORKERS_MAX = 256

/** Worker processes: how many, or `auto`. */
export function workers(row: Row) {
  const expected = `auto or a whole number from 0 to ${WORKERS_MAX}`
  return z
    .union([z.literal('auto'), z.int().min(0).max(WORKERS_MAX), z.string().regex(/^\d{1,3}$/)])
    .meta({ expected, ...row })
    .transform((value, context) => {
      const count = value === 'auto' ? value : Number(value)
      if (count === 'auto' || count <= WORKERS_MAX) return count
      context.issues.push({ code: 'custom', message: `is not ${expected}`, input: value })
      return z.NEVER
    })
}

/** Seconds, written with or without a unit. `max` in seconds. */
export function seconds(min: number, max: number, row: Row) {
  const expected = `a duration from ${formatSeconds(min)} to ${formatSeconds(max)}`
  return quantity(parseSeconds, min, max, { expected, ...row })
}

/** Milliseconds of a duration written in seconds or with a unit. */
export function milliseconds(min: number, max: number, row: Row) {
  return seconds(min, max, row).transform((value) => Math.round(value * 1000))
}

/** Bytes, written with or without a unit. */
export function bytes(min: number, max: number, row: Row) {
  const expected = `a size from ${formatBytes(min)} to ${formatBytes(max)}`
  return quantity(parseBytes, min, max, { expected, ...row })
}

/** `none`, `all` or a list of names. */
export function nameSet(row: Row) {
  const name = z
    .string()
    .min(1)
    .max(256)
    .regex(/^[^\p{Cc}]*$/u)
  return z
    .union([z.enum(['none', 'all']), z.array(name).max(100)])
    .meta({ expected: 'none, all or a list of names', ...row })
}

/** A list of texts of a form. */
export function list(item: z.ZodString, max: number, row: Row) {
  return z
    .array(item)
    .max(max)
    .meta({ expected: 'a list', ...row })
}

function quantity(
  parse: (value: string | number) => number | undefined,
  min: number,
  max: number,
  facts: OptionFacts,
) {
  return z
    .union([z.number(), z.string().max(64)])
    .meta({ ...facts })
    .transform((value, context) => {
      const parsed = parse(value)
      if (parsed !== undefined && parsed >= min && parsed <= max) return parsed
      context.issues.push({ code: 'custom', message: `is not ${facts.expected}`, input: value })
      return z.NEVER
    })
}
