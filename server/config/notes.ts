import { existsSync } from 'node:fs'
import type { Distribution } from '../distribution/types.ts'
import type { Config } from './config.ts'
import { HIDDEN } from './export-config.ts'

/** Sentences on what a right configuration may not do as its writer thinks: the start and `config check` print them. */
export function notesOn(config: Config): readonly string[] {
  return [
    ...notYet(config),
    ...missingFolders(config),
    ...hiddenValues(config),
    ...sharedHosts(config.distributions),
  ]
}

/** What the configuration asks for and this version does not do, said instead of passed over. */
function notYet(config: Config): readonly string[] {
  const said: string[] = []
  if (config.https) said.push('https: not in this version; put a TLS proxy before the http port')
  if (config.role === 'edge' && config.http.workers !== 0 && config.cache.diskBytes > 0)
    said.push(
      'cache.diskBytes: an edge with http.workers keeps nothing on disk; each worker asks the parent',
    )
  if (config.redis) said.push('redis: not in this version; the change log is a file')
  for (const one of config.distributions)
    if (one.kind === 'rtmp')
      said.push(`distributions.${one.id}: stored media over RTMP is not in this version`)
    else if (one.behaviors.some(({ compress }) => compress))
      said.push(`distributions.${one.id}: compress is not in this version; text goes out as it is`)
  return said
}

/** A folder may come later; a misspelt one is seen here instead of in each viewer's 502. */
function missingFolders({ origins, role }: Config): readonly string[] {
  if (role === 'edge') return []
  return Object.entries(origins).flatMap(([id, origin]) =>
    origin.kind === 'file' && !existsSync(origin.root)
      ? [`origins.${id}: the folder ${origin.root} does not exist`]
      : [],
  )
}

/** Of a configuration that was exported: the origins would be sent the word instead of the secret. */
function hiddenValues({ origins, parent, admission, hooks, pulls }: Config): readonly string[] {
  const keys = Object.entries(origins).flatMap(([id, origin]) =>
    origin.kind === 'http'
      ? Object.entries(origin.headers).flatMap(([name, value]) =>
          value === HIDDEN ? [`origins.${id}.headers.${name}`] : [],
        )
      : [],
  )
  if (parent?.token === HIDDEN) keys.push('parent.token')
  if (admission?.secret === HIDDEN) keys.push('admission.secret')
  for (const [at, { secret }] of hooks.entries())
    if (secret === HIDDEN) keys.push(`hooks.${at}.secret`)
  for (const [at, { url }] of pulls.entries())
    if (url.endsWith(HIDDEN)) keys.push(`pulls.${at}.url`)
  return keys.map((key) => `${key}: ${HIDDEN} is what the export wrote for a secret; put it back`)
}

function sharedHosts(distributions: readonly Distribution[]): readonly string[] {
  const owners = new Map<string, string>()
  return distributions.flatMap((one) => {
    if (one.kind !== 'web' || !one.enabled) return []
    return one.hosts.flatMap((host) => {
      const owner = owners.get(host.toLowerCase())
      if (owner === undefined) owners.set(host.toLowerCase(), one.id)
      return owner === undefined || owner === one.id
        ? []
        : [`distributions.${one.id}: the host ${host} belongs to distributions.${owner} already`]
    })
  })
}
