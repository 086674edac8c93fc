import type { Problem } from '../distribution/problems.ts'
import type { Distribution, OriginOptions } from '../distribution/types.ts'
import { nearestWord } from '../lib/nearest-word.ts'
import { saysOwnAddress } from '../lib/own-address.ts'
import type { Config } from './config.ts'
import { BUILT_IN_ORIGINS } from './defaults.ts'

/** What no single row can see: names that nothing has, names taken twice, a role without what it needs. */
export function checkReferences(config: Config): readonly Problem[] {
  return [
    ...checkRole(config),
    ...checkOrigins(config.origins),
    ...checkStores(config),
    ...checkPulls(config),
    ...config.distributions.flatMap((one, i) => checkDistribution(config, one, i)),
    ...repeated(config.distributions, ['distributions'], 'id'),
    ...repeated(config.edges, ['edges'], 'id'),
    ...repeated(config.pulls, ['pulls'], 'name'),
    ...repeated(config.srt.streams, ['srt', 'streams'], 'name'),
    ...repeated(config.srt.streams, ['srt', 'streams'], 'port'),
    ...checkSrt(config),
  ]
}

function checkRole({ role, parent }: Config): readonly Problem[] {
  if (role !== 'edge' || parent !== undefined) return []
  const message =
    'is missing; role edge needs the address of its origin (NEARCAST_PARENT) and its token (NEARCAST_PARENT_TOKEN)'
  return [{ keys: ['parent'], message }]
}

function checkOrigins(origins: Config['origins']): readonly Problem[] {
  return Object.entries(origins).flatMap(([id, options]): readonly Problem[] => {
    const keys = ['origins', id]
    if (BUILT_IN_ORIGINS.includes(id))
      return [{ keys, message: 'is the name of a built-in origin; choose another' }]
    if (options.kind !== 'group') return []
    return options.members.flatMap((member, i): readonly Problem[] => {
      const at = [...keys, 'members', i]
      const found = own(origins, member)
      if (!found) return [{ keys: at, message: unknownOrigin(member, Object.keys(origins)) }]
      return found.kind === 'group'
        ? [{ keys: at, message: `"${member}" is a group; a group has no groups in it` }]
        : []
    })
  })
}

// What is read by key or written to must be a store.
function checkStores(config: Config): readonly Problem[] {
  const { vod, live, origins } = config
  return [
    ...checkStore(origins, vod.origin, ['vod', 'origin']),
    ...(live.record === undefined ? [] : checkStore(origins, live.record, ['live', 'record'])),
  ]
}

function checkStore(
  origins: Config['origins'],
  id: string,
  keys: readonly string[],
): readonly Problem[] {
  const options = own(origins, id)
  if (!options) return [{ keys, message: unknownOrigin(id, storesOf(origins)) }]
  if (options.kind === 's3' || options.kind === 'file') return []
  return [{ keys, message: `"${id}" is of kind ${options.kind}; it must be s3 or file` }]
}

/** A stream that is fetched from where it goes to waits for itself for ever. */
function checkPulls(config: Config): readonly Problem[] {
  const { role, pulls } = config
  if (role === 'edge') return []
  const ports = new Set([config.control.port])
  if (role === 'all') ports.add(config.http.port)
  if (role !== 'control')
    for (const one of [config.rtmp, config.rtmps, config.origin]) if (one) ports.add(one.port)
  return pulls.flatMap(({ url }, i) =>
    saysOwnAddress(url, ports)
      ? [
          {
            keys: ['pulls', i, 'url'],
            message:
              'is this server itself; a stream comes from another one, or from another port of this machine',
          },
        ]
      : [],
  )
}

function checkDistribution(
  { origins }: Config,
  distribution: Distribution,
  index: number,
): readonly Problem[] {
  const keys = ['distributions', index]
  if (distribution.kind === 'rtmp') {
    const known = own(origins, distribution.origin)
    if (known?.kind === 's3' || known?.kind === 'file') return []
    const message = known
      ? `"${distribution.origin}" is of kind ${known.kind}; it must be s3 or file`
      : unknownOrigin(distribution.origin, storesOf(origins))
    return [{ keys: [...keys, 'origin'], message }]
  }
  const known = [...Object.keys(origins), ...BUILT_IN_ORIGINS]
  return distribution.behaviors.flatMap(({ origin }, i) =>
    known.includes(origin)
      ? []
      : [{ keys: [...keys, 'behaviors', i, 'origin'], message: unknownOrigin(origin, known) }],
  )
}

/** Its callers are told the port, so it cannot be any free one. */
function checkSrt({ srt }: Config): readonly Problem[] {
  return srt.streams.flatMap(({ port }, i) =>
    port === 0
      ? [{ keys: ['srt', 'streams', i, 'port'], message: '0 is no port that a caller could name' }]
      : [],
  )
}

function repeated<Key extends string>(
  items: readonly { readonly [name in Key]: string | number }[],
  keys: readonly string[],
  name: Key,
): readonly Problem[] {
  const seen = new Set<string | number>()
  return items.flatMap((item, i) => {
    const value = item[name]
    if (!seen.has(value)) {
      seen.add(value)
      return []
    }
    const shown = typeof value === 'number' ? value : `"${value}"`
    return [{ keys: [...keys, i, name], message: `${shown} is there twice; each needs its own` }]
  })
}

function unknownOrigin(id: string, known: readonly string[]): string {
  const nearest = nearestWord(id, known)
  const cure = nearest ? `did you mean "${nearest}"?` : `there are: ${known.join(', ')}`
  return `no origin has the name "${id}"; ${cure}`
}

function storesOf(origins: Config['origins']): readonly string[] {
  return Object.entries(origins).flatMap(([id, { kind }]) =>
    kind === 's3' || kind === 'file' ? [id] : [],
  )
}

function own(origins: Config['origins'], id: string): OriginOptions | undefined {
  return Object.hasOwn(origins, id) ? origins[id] : undefined
}
