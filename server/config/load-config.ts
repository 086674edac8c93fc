import { dirname, resolve } from 'node:path'
import type * as z from 'zod'
import { listProblems, type Problem, schemaNodeOf, writeKeys } from '../distribution/problems.ts'
import { distributionSchema, type OriginDefaults, originOptions } from '../distribution/schema.ts'
import type { Distribution, OriginOptions } from '../distribution/types.ts'
import { NearcastError } from '../lib/errors.ts'
import { checkReferences } from './check-references.ts'
import type { Config } from './config.ts'
import { DEFAULT_DISTRIBUTIONS, findProjectRoot } from './defaults.ts'
import { readSources, type Sources } from './read-sources.ts'
import { MEDIA, settingsSchema } from './schema.ts'

/** Where a configuration comes from. */
export interface ConfigInput {
  /** Flags, without program and command. */
  readonly argv?: readonly string[]
  /** This process's own unless given. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
}

type Settings = z.output<typeof settingsSchema>

/**
 * Reads flags, environment, `nearcast.yaml` and defaults, the first that says something winning. Throws
 * `config-invalid`: one line for each thing that is wrong, with where, key, value and cure.
 */
export function loadConfig({
  argv = [],
  env = process.env,
  cwd = process.cwd(),
}: ConfigInput): Config {
  const sources = readSources(schemaNodeOf(settingsSchema), argv, env, cwd)
  const parsed = settingsSchema.safeParse(sources.value)
  if (!parsed.success) fail(listProblems(settingsSchema, parsed.error, sources.value), sources)
  const settings = parsed.data
  const base = sources.file === undefined ? cwd : dirname(sources.file)
  const originDefaults: OriginDefaults = {
    region: env['AWS_REGION'] || env['AWS_DEFAULT_REGION'] || 'us-east-1',
    endpoint: settings.s3.endpoint,
  }
  const config: Config = {
    ...withoutSources(settings),
    data: resolve(cwd, settings.data),
    ...(settings.https && { https: withFiles(settings.https, base) }),
    ...(settings.rtmps && { rtmps: withFiles(settings.rtmps, base) }),
    log: withFile(settings.log, base),
    live: {
      ...settings.live,
      record: settings.live.record === 'off' ? undefined : settings.live.record,
    },
    origins: resolveOrigins(settings, sources, originDefaults, base, cwd),
    originDefaults,
    folder: base,
    distributions: settings.distributions ?? defaultDistributions(),
    file: sources.file,
  }
  const problems = checkReferences(config)
  if (problems.length > 0) fail(problems, sources)
  return deepFreeze(config)
}

function withoutSources(settings: Settings) {
  const {
    media: _media,
    s3: _s3,
    origins: _origins,
    distributions: _distributions,
    ...rest
  } = settings
  return rest
}

function withFile({ level, access }: Settings['log'], base: string): Settings['log'] {
  return access === undefined ? { level } : { level, access: resolve(base, access) }
}

function withFiles(tls: NonNullable<Settings['https']>, base: string) {
  return { ...tls, cert: resolve(base, tls.cert), key: resolve(base, tls.key) }
}

/** What is served when the configuration names no distributions. */
export function defaultDistributions(): readonly Distribution[] {
  return DEFAULT_DISTRIBUTIONS.map((distribution) => distributionSchema.parse(distribution))
}

function resolveOrigins(
  settings: Settings,
  sources: Sources,
  defaults: OriginDefaults,
  base: string,
  cwd: string,
): Readonly<Record<string, OriginOptions>> {
  const root = findProjectRoot()
  const origins: Record<string, OriginOptions> = {
    site: { kind: 'file', root: resolve(root, 'media', 'site') },
    media: { kind: 'file', root: resolve(root, 'media') },
  }
  const mediaFromOutside = sources.saidBy.has('media')
  if (settings.media !== undefined)
    origins['media'] = mediaOrigin(settings.media, defaults, mediaFromOutside ? cwd : base)
  for (const [id, parsed] of Object.entries(settings.origins)) {
    if (id === 'media' && mediaFromOutside) continue
    const options = originOptions(parsed, defaults)
    origins[id] =
      options.kind === 'file' ? { ...options, root: resolve(base, options.root) } : options
  }
  return origins
}

function mediaOrigin(media: string, defaults: OriginDefaults, base: string): OriginOptions {
  const { bucket, prefix = '' } = MEDIA.exec(media)?.groups ?? {}
  if (bucket === undefined) return { kind: 'file', root: resolve(base, media) }
  return originOptions({ kind: 's3', bucket, prefix }, defaults)
}

function fail(problems: readonly Problem[], sources: Sources): never {
  const lines = problems.map(({ keys, message }) => {
    const key = writeKeys(keys)
    const variable = sources.saidBy.get(key)
    // A key of no source at all (https.cert beside NEARCAST_HTTPS_PORT) is missing from the file.
    return variable === undefined
      ? `${sources.fileLabel}: ${key === '' ? '' : `${key}: `}${message}`
      : `${variable}: ${message}`
  })
  throw new NearcastError('config-invalid', lines.join('\n'))
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const member of Object.values(value)) deepFreeze(member)
  return Object.freeze(value)
}
