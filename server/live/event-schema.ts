import { z } from 'zod'

/** What outside bytes may say of a window: in tails, saved windows and the journals of an archive. */

/** A part is at most 32 MiB of samples and a header for each. */
export const MEDIA_MAX = 48 * 1024 * 1024

export const rendition = z.string().regex(/^[a-z][a-z0-9]{0,31}$/)
/** Of an init section. */
export const uri = z.string().regex(/^[a-z0-9]{1,32}\/[a-z0-9-]{1,64}\.mp4$/)
export const epoch = z.string().regex(/^[a-z0-9]{1,32}$/)
export const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
export const seconds = z.number().min(0).max(1_000_000)
export const time = z.number().min(-8.64e15).max(8.64e15)
export const place = z.string().regex(/^(?:[A-Za-z0-9_-]{1,128}\/){1,5}$/)
const target = z.int().min(1).max(999)

export const facts = z.object({
  kind: z.enum(['video', 'audio']),
  codecString: z.string().max(100),
  width: z.int().min(0).max(65_535),
  height: z.int().min(0).max(65_535),
  channels: z.int().min(0).max(255),
  language: z.string().max(35),
  videoRange: z.enum(['SDR', 'HLG', 'PQ']).optional(),
  captions: z
    .array(z.string().regex(/^(?:CC[1-4]|SERVICE(?:[1-9]|[1-5]\d|6[0-3]))$/))
    .max(16)
    .optional(),
})

export const pace = z.object({
  kind: z.literal('pace'),
  partTargetSeconds: z.number().min(0.001).max(1000),
})

export const promise = z.object({
  kind: z.literal('promise'),
  targets: z.array(target).min(1).max(16),
  current: target,
  floor: z.int().min(0).max(999),
})

/** What a quoted string takes: no control characters, quotation marks or line ends. */
const text = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[^\p{Cc}\p{Cs}"\u2028\u2029]*$/u)

export const dateRange = z.object({
  kind: z.literal('date-range'),
  id: z.string().regex(/^[a-z0-9-]{1,64}$/),
  className: text(64).min(1),
  startedAt: time,
  attributes: z
    .array(
      z.tuple([
        z.string().regex(/^X-[A-Z0-9-]{1,64}$/),
        z.union([text(1024), z.number().min(-Number.MAX_VALUE).max(Number.MAX_VALUE)]),
      ]),
    )
    .max(24),
})

/** A segment as all its readers know it. */
export const segment = {
  rendition,
  sequence: count,
  epoch,
  init: uri,
  startedAt: time,
  discontinuity: z.boolean(),
  discontinuitySequence: count,
} as const
