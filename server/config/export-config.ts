import type { Distribution, OriginOptions } from '../distribution/types.ts'
import type { Config } from './config.ts'

/** Stands where a secret was. */
export const HIDDEN = '(hidden)'

/**
 * The configuration in force as `nearcast.yaml` would say it: changes made over the API included, secrets hidden, and
 * without what belongs to one start only.
 */
export function exportConfig(
  config: Config,
  now: {
    readonly distributions: readonly Distribution[]
    readonly origins: Readonly<Record<string, OriginOptions>>
  } = config,
): Readonly<Record<string, unknown>> {
  const {
    file: _file,
    folder: _folder,
    originDefaults: _defaults,
    demo: _demo,
    parent,
    redis,
    admission,
    live,
    hooks,
    srt,
    pulls,
    ...rest
  } = config
  return {
    ...rest,
    ...(admission && {
      admission: {
        ...admission,
        // Of many receivers the path is a secret.
        url: `${new URL(admission.url).origin}/${HIDDEN}`,
        secret: HIDDEN,
      },
    }),
    live: { ...live, record: live.record ?? 'off' },
    srt: {
      ...srt,
      streams: srt.streams.map((stream) =>
        stream.passphrase === undefined ? stream : { ...stream, passphrase: HIDDEN },
      ),
    },
    // Keys of streams stand in their addresses: in the path of RTMP, in the query of others.
    pulls: pulls.map((pull) => ({ ...pull, url: `${originOf(pull.url)}/${HIDDEN}` })),
    hooks: hooks.map(({ url, events }) => ({
      url: `${new URL(url).origin}/${HIDDEN}`,
      events,
      secret: HIDDEN,
    })),
    ...(parent && { parent: { url: withoutPassword(parent.url), token: HIDDEN } }),
    ...(redis && { redis: { url: withoutPassword(redis.url) } }),
    origins: Object.fromEntries(
      Object.entries(now.origins).map(([id, options]) => [id, exportOrigin(options)]),
    ),
    distributions: now.distributions,
  }
}

function exportOrigin(options: OriginOptions): Readonly<Record<string, unknown>> {
  switch (options.kind) {
    case 's3':
    case 'file':
      return { ...options }
    case 'http': {
      const { connectMs, responseMs } = options.timeouts
      return {
        ...options,
        headers: Object.fromEntries(Object.keys(options.headers).map((name) => [name, HIDDEN])),
        timeouts: { connect: connectMs / 1000, response: responseMs / 1000 },
      }
    }
    case 'group': {
      const { health, ...rest } = options
      if (!health) return rest
      return { ...rest, health: { path: health.path, interval: health.intervalMs / 1000 } }
    }
  }
}

/** Scheme, host and port alone. */
function originOf(address: string): string {
  const url = new URL(address)
  return `${url.protocol}//${url.host}`
}

function withoutPassword(address: string): string {
  const url = new URL(address)
  if (url.password === '' && url.username === '') return address
  url.username = ''
  url.password = ''
  return url.href
}
