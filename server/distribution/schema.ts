import * as z from 'zod'
import {
  choice,
  flag,
  list,
  milliseconds,
  nameSet,
  pattern,
  seconds,
  text,
  whole,
} from './option.ts'
import { problemsOf } from './problems.ts'
import type { Distribution, OriginOptions } from './types.ts'

const YEAR = 31_536_000
const DEFAULT_TTL = 86_400
const ID = /^[a-z0-9][a-z0-9_-]{0,63}$/i
const ID_EXPECTED = 'a name of letters, digits, - and _ (at most 64)'
const HOST =
  /^(?:\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*|\[?(?=(?:[^:]*:){2})[0-9a-f:.]{2,45}\]?)$/i
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]{1,256}$/i
// RFC 9110 §5.5: no control characters, so that no value can begin another field.
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]{0,1783}$/

/** The id of a distribution, an origin or an edge. */
export const idSchema = pattern(ID, { expected: ID_EXPECTED, description: 'Its name.' })

const statusKey = z.string().regex(/^[45]\d\d$/)

const errorPage = z
  .strictObject({
    page: pattern(/^\/[^\p{Cc}]*$/u, {
      description:
        'Page of the same distribution that is shown instead, fetched through the behaviors.',
      expected: 'an absolute path',
    }).optional(),
    as: whole(200, 599, { description: 'Status that the viewer sees instead.' }).optional(),
    ttl: seconds(0, YEAR, {
      description:
        'How long the error is kept. Unless given: 10 s for 404, 414 and 500 to 504, others as the origin says.',
    }).optional(),
  })
  .meta({ expected: 'a group of page, as and ttl' })

const ttl = z
  .strictObject({
    min: seconds(0, YEAR, {
      description:
        'At least this long, whatever the origin says; above 0 it overrules no-cache, no-store and private.',
    }).prefault(0),
    default: seconds(0, YEAR, {
      description: 'When the origin says nothing. 24 hours within min and max unless given.',
    }).optional(),
    max: seconds(0, YEAR, {
      description: 'At most this long; 0 stores nothing and passes everything of the request on.',
    }).prefault('365d'),
  })
  .transform((value, context) => {
    const { min, max } = value
    const made = { min, default: value.default ?? Math.min(Math.max(DEFAULT_TTL, min), max), max }
    if (made.min > made.default || made.default > max)
      context.issues.push({
        code: 'custom',
        input: value,
        message: `min ${min}, default ${made.default}, max ${max}: must not fall`,
      })
    return made
  })

/** One behavior: which origin answers a path, and how its answers are kept. */
export const behaviorSchema = z
  .strictObject({
    path: pattern(/^[^\s\p{Cc}]{1,255}$/u, {
      description: 'Pattern: `*` any run of characters, `?` exactly one; case-sensitive.',
      expected: 'a path pattern of at most 255 characters',
    }),
    origin: pattern(ID, {
      description: 'Origin that answers: a configured one, or the built-in `live`, `vod`, `pages`.',
      expected: ID_EXPECTED,
    }),
    methods: choice(['get', 'get-options', 'all'], {
      description: 'GET and HEAD; those and OPTIONS; or all seven.',
    }).default('get'),
    ttl: ttl.prefault({}),
    key: z
      .strictObject({
        query: nameSet({
          description:
            'Query parameters in the cache key and sent on. `none` unless given, with `semantics: rfc` `all`.',
        }).optional(),
        queryOrder: choice(['kept', 'sorted'], {
          description:
            'As the viewer sent them, or by name, so that another order is the same key.',
        }).default('kept'),
        headers: nameSet({ description: 'Request fields in the cache key and sent on.' }).default(
          'none',
        ),
        cookies: nameSet({ description: 'Cookies in the cache key and sent on.' }).default('none'),
      })
      .prefault({}),
    compress: flag({
      description: 'Compress text for viewers that accept it. Not in this version.',
    }).default(false),
    strip: pattern(/^(?:|\/[^\s\p{Cc}]*[^\s\p{Cc}/])$/u, {
      description: 'Taken off the front of the path before the origin sees it.',
      expected: 'an absolute path without a slash at its end',
    }).default(''),
    errors: z
      .record(statusKey, errorPage)
      .meta({
        description: 'By the origin’s status: page, status and ttl in its place.',
        expectedKey: 'a status from 400 to 599',
      })
      .default({}),
    semantics: choice(['cloudfront', 'rfc'], {
      description:
        'CloudFront’s TTL table, or RFC 9111 alone: everything of the request goes to the origin and its Vary chooses.',
    }).default('cloudfront'),
  })
  .transform(({ key, ...behavior }) => {
    const query = key.query ?? (behavior.semantics === 'rfc' ? ('all' as const) : ('none' as const))
    return { ...behavior, key: { ...key, query } }
  })
  .meta({ expected: 'a behavior' })

const common = {
  id: idSchema.meta({ description: 'Name of the distribution.', expected: ID_EXPECTED }),
  enabled: flag({ description: 'Whether it answers; a disabled one keeps its names.' }).default(
    true,
  ),
  hosts: list(
    pattern(HOST, { description: 'A name.', expected: 'a host name, *.name or *' }),
    100,
    { description: 'Its names: exact, `*.example.com` or `*` for any; without ports.' },
  ).default(['*']),
}

const webDistribution = z.strictObject({
  kind: z
    .literal('web')
    .meta({ description: 'Files and pages over HTTP.', expected: 'web or rtmp' })
    .default('web'),
  ...common,
  defaultRootObject: pattern(/^(?:|[^/\s\p{Cc}][^\p{Cc}]{0,254})$/u, {
    description: 'What `/` gives; only there, not in folders.',
    expected: 'a file name without a slash in front',
  }).default(''),
  behaviors: z
    .array(behaviorSchema)
    .min(1)
    .max(250)
    .meta({ description: 'In order, the first match wins.', expected: 'a list of behaviors' }),
})

const rtmpDistribution = z.strictObject({
  kind: z
    .literal('rtmp')
    .meta({ description: 'Stored media over RTMP. Not in this version.', expected: 'web or rtmp' }),
  ...common,
  apps: list(
    pattern(/^[a-z0-9_-]+(?:\/[a-z0-9_-]+)*$/i, {
      description: 'An application.',
      expected: 'an RTMP application name',
    }),
    20,
    { description: 'RTMP applications it answers to.' },
  ).default(['vod', 'cfx/st']),
  origin: pattern(ID, {
    description: 'Origin (s3 or file) with the media.',
    expected: ID_EXPECTED,
  }),
  signers: list(pattern(ID, { description: 'A key group.', expected: ID_EXPECTED }), 20, {
    description: 'Key groups that may sign; none means open.',
  }).default([]),
})

/** A distribution as it is written; without `kind` it is a web distribution. */
export const distributionSchema = z
  .discriminatedUnion('kind', [webDistribution, rtmpDistribution])
  .meta({ expected: 'a distribution' })

const s3Origin = z.strictObject({
  kind: z.literal('s3').meta({ description: 'A bucket of AWS S3 or of anything compatible.' }),
  bucket: pattern(/^[a-z0-9][a-z0-9._-]{1,254}$/i, {
    description: 'Name of the bucket.',
    expected: 'a bucket name',
  }),
  prefix: pattern(/^(?:|[^/\p{Cc}][^\p{Cc}]{0,1023})$/u, {
    description: 'Put in front of each key.',
    expected: 'a key prefix without a slash in front',
  }).default(''),
  region: pattern(/^[a-z0-9-]{1,64}$/i, {
    description: 'Region; else AWS_REGION, else us-east-1.',
    expected: 'a region such as eu-west-1',
  }).optional(),
  endpoint: httpUrl('Address of the S3 service; AWS unless given.').optional(),
  pathStyle: flag({
    description: 'Bucket in the path and not in the host name; true when an endpoint is given.',
  }).optional(),
})

const fileOrigin = z.strictObject({
  kind: z.literal('file').meta({ description: 'A folder.' }),
  root: text({
    description: 'The folder, from the configuration file’s own folder.',
    expected: 'a folder',
  }),
})

const httpOriginSchema = z.strictObject({
  kind: z.literal('http').meta({ description: 'A web server.' }),
  url: httpUrl('Scheme, host, port and an optional path prefix.'),
  headers: z
    .record(
      z.string().regex(FIELD_NAME),
      pattern(FIELD_VALUE, {
        description: 'A value.',
        expected: 'a field value of printable characters (at most 1783)',
        secret: true,
      }),
    )
    .meta({
      description: 'Fields added to each request, secrets too.',
      expectedKey: 'a field name',
      secret: true,
    })
    .default({}),
  timeouts: z
    .strictObject({
      connect: milliseconds(0.001, 60, { description: 'To connect.' }).prefault('10s'),
      response: milliseconds(0.001, 3600, {
        description: 'To the first byte, and between two.',
      }).prefault('30s'),
    })
    .prefault({}),
})

const groupOrigin = z.strictObject({
  kind: z.literal('group').meta({ description: 'Several origins that stand in for each other.' }),
  members: z
    .array(pattern(ID, { description: 'An origin.', expected: ID_EXPECTED }))
    .min(1)
    .max(25)
    .meta({ description: 'Ids of origins, in order.', expected: 'a list of origins' }),
  balance: choice(['round-robin', 'first'], {
    description: 'In turns, or the first that works.',
  }).default('round-robin'),
  failOn: z
    .array(whole(400, 599, { description: 'A status.' }))
    .max(50)
    .meta({
      description: 'Statuses that make GET, HEAD and OPTIONS go to the next member.',
      expected: 'a list of statuses',
    })
    .default([500, 502, 503, 504]),
  health: z
    .strictObject({
      path: pattern(/^\/[^\s\p{Cc}]*$/u, {
        description: 'Asked of each member; below 400 is healthy.',
        expected: 'an absolute path',
      }),
      interval: milliseconds(1, 3600, { description: 'Time between two questions.' }).prefault(
        '10s',
      ),
    })
    .optional(),
})

/** An origin as it is written. */
export const originSchema = z
  .discriminatedUnion('kind', [s3Origin, fileOrigin, httpOriginSchema, groupOrigin])
  .meta({ expected: 'an origin' })

/** Where options that an origin leaves out come from. */
export interface OriginDefaults {
  readonly region: string
  readonly endpoint: string | undefined
}

/** The outcome of a check: the value with all defaults applied, or one line for each thing that is wrong. */
export type Validated<T> =
  | { readonly kind: 'valid'; readonly value: T }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] }

/** Checks a distribution from outside; whether its origins exist is for the caller to check. */
export function validateDistribution(value: unknown): Validated<Distribution> {
  const result = distributionSchema.safeParse(value)
  if (result.success) return { kind: 'valid', value: result.data }
  return { kind: 'invalid', problems: problemsOf(distributionSchema, result.error, value) }
}

/** Checks an origin's options from outside. */
export function validateOrigin(value: unknown, defaults: OriginDefaults): Validated<OriginOptions> {
  const result = originSchema.safeParse(value)
  if (result.success) return { kind: 'valid', value: originOptions(result.data, defaults) }
  return { kind: 'invalid', problems: problemsOf(originSchema, result.error, value) }
}

/** Origin options of what the schema gave, with the process's own defaults. */
export function originOptions(
  parsed: z.output<typeof originSchema>,
  defaults: OriginDefaults,
): OriginOptions {
  switch (parsed.kind) {
    case 's3': {
      const endpoint = parsed.endpoint ?? defaults.endpoint
      return {
        ...parsed,
        region: parsed.region ?? defaults.region,
        endpoint,
        pathStyle: parsed.pathStyle ?? endpoint !== undefined,
      }
    }
    case 'file':
      return parsed
    case 'http': {
      const { connect, response } = parsed.timeouts
      return { ...parsed, timeouts: { connectMs: connect, responseMs: response } }
    }
    case 'group': {
      const { health } = parsed
      return {
        ...parsed,
        health: health && { path: health.path, intervalMs: health.interval },
      }
    }
  }
}

function httpUrl(description: string) {
  return z
    .string()
    .max(2048)
    .refine((value) => {
      const url = URL.canParse(value) ? new URL(value) : undefined
      return (
        url !== undefined &&
        (url.protocol === 'http:' || url.protocol === 'https:') &&
        url.username === '' &&
        url.password === ''
      )
    })
    .meta({ description, expected: 'an http:// or https:// address without a password' })
}
