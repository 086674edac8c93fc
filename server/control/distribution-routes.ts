import { resolve } from 'node:path'
import * as z from 'zod'
import type { ControlSnapshot } from '../distribution/control-state.ts'
import { hostName } from '../distribution/match.ts'
import { type Validated, validateDistribution, validateOrigin } from '../distribution/schema.ts'
import type { Distribution, OriginOptions } from '../distribution/types.ts'
import { NearcastError } from '../lib/errors.ts'
import { type ApiContext, type Route, route } from './route.ts'

const BUILT_IN_ORIGINS = ['live', 'vod', 'pages']
const ID = /^[a-z0-9][a-z0-9_-]{0,63}$/i
const anyObject = z.record(z.string(), z.unknown()).meta({ expected: 'a JSON object' })

/** Distributions and origins: read, and changed while running. */
export const distributionRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/distributions',
    summary: 'Distributions',
    status: 200,
    run: ({ state }) => ({ distributions: state().distributions }),
  }),
  route({
    method: 'post',
    path: '/distributions',
    summary: 'Create a distribution, written as in nearcast.yaml',
    body: anyObject,
    status: 201,
    run: async (context, { body }) => {
      const distribution = checkDistribution(context, body)
      await putDistribution(context, distribution, () => {
        if (context.state().distributions.some(({ id }) => id === distribution.id))
          throw new NearcastError('conflict', `there is a distribution ${distribution.id} already`)
      })
      return distribution
    },
  }),
  route({
    method: 'get',
    path: '/distributions/{id}',
    summary: 'One distribution',
    status: 200,
    run: (context, { params }) => findDistribution(context, params['id']),
  }),
  route({
    method: 'put',
    path: '/distributions/{id}',
    summary: 'Replace a distribution, or create it under this id',
    body: anyObject,
    status: 200,
    run: async (context, { params, body }) => {
      const distribution = checkDistribution(context, { id: params['id'], ...body })
      if (distribution.id !== params['id'])
        throw new NearcastError(
          'bad-request',
          `the id is ${params['id']} in the address and ${distribution.id} in the body`,
        )
      await putDistribution(context, distribution)
      return distribution
    },
  }),
  route({
    method: 'delete',
    path: '/distributions/{id}',
    summary: 'Remove a distribution',
    status: 204,
    run: async (context, { params }) => {
      const distribution = findDistribution(context, params['id'])
      await context.changes.append({ kind: 'distribution', distribution, removed: true }, () => {
        findDistribution(context, params['id'])
      })
      context.log.info('distribution removed', { distribution: distribution.id })
    },
  }),
  route({
    method: 'get',
    path: '/origins',
    summary: 'Configured origins, without the values of the fields they are sent',
    status: 200,
    run: ({ state }) => ({
      origins: Object.entries(state().origins).map(([id, options]) => showOrigin(id, options)),
      builtIn: BUILT_IN_ORIGINS,
    }),
  }),
  route({
    method: 'put',
    path: '/origins/{id}',
    summary: 'Create or replace an origin, written as in nearcast.yaml',
    body: anyObject,
    status: 200,
    run: async (context, { params, body }) => {
      const id = params['id'] ?? ''
      if (!ID.test(id) || BUILT_IN_ORIGINS.includes(id))
        throw new NearcastError('bad-request', `${id} cannot be the id of an origin`)
      const given = unwrap(validateOrigin(body, context.originDefaults))
      const options =
        given.kind === 'file'
          ? { ...given, root: resolve(context.originFolder, given.root) }
          : given
      if (context.stores.includes(id) && options.kind !== 's3' && options.kind !== 'file')
        throw new NearcastError(
          'config-invalid',
          `${id}: stored media is read from it, so its kind must be s3 or file, not ${options.kind}`,
        )
      if (options.kind === 'group') checkMembers(context, id, options.members)
      await context.changes.append({ kind: 'origin', id, options, removed: false })
      context.log.info('origin set', { origin: id, kind: options.kind })
      return showOrigin(id, options)
    },
  }),
  route({
    method: 'delete',
    path: '/origins/{id}',
    summary: 'Remove an origin that nothing uses',
    status: 204,
    run: async (context, { params }) => {
      const id = params['id'] ?? ''
      const { origins } = context.state()
      const options = Object.hasOwn(origins, id) ? origins[id] : undefined
      if (!options) throw new NearcastError('not-found', `there is no origin ${id}`)
      const user = userOf(context, id)
      if (user) throw new NearcastError('conflict', `${id} is used by ${user}`)
      await context.changes.append({ kind: 'origin', id, options, removed: true }, () => {
        const since = userOf(context, id)
        if (since) throw new NearcastError('conflict', `${id} is used by ${since}`)
      })
      context.log.info('origin removed', { origin: id })
    },
  }),
]

async function putDistribution(
  context: ApiContext,
  distribution: Distribution,
  check?: () => void,
): Promise<void> {
  await context.changes.append({ kind: 'distribution', distribution, removed: false }, () => {
    check?.()
    checkOrigins(context, distribution)
    checkHosts(context, distribution)
  })
  context.log.info('distribution set', { distribution: distribution.id })
}

/** A name leads to one distribution; a disabled one keeps its names. What it had before, it may go on having. */
function checkHosts({ state }: ApiContext, { kind, id, hosts }: Distribution): void {
  if (kind !== 'web') return
  const web = state().distributions.filter((one) => one.kind === 'web')
  const had = new Set(web.find((one) => one.id === id)?.hosts.map(hostName))
  for (const host of hosts) {
    if (had.has(hostName(host))) continue
    const holder = web.find((one) => one.id !== id && one.hosts.some(isSameHost(host)))
    if (holder)
      throw new NearcastError('conflict', `${id}: ${host} is held by distribution ${holder.id}`)
  }
}

function isSameHost(host: string): (other: string) => boolean {
  const name = hostName(host)
  return (other) => hostName(other) === name
}

function findDistribution({ state }: ApiContext, id: string | undefined): Distribution {
  const found = state().distributions.find((one) => one.id === id)
  if (!found) throw new NearcastError('not-found', `there is no distribution ${id}`)
  return found
}

function checkDistribution(context: ApiContext, value: unknown): Distribution {
  const distribution = unwrap(validateDistribution(value))
  checkOrigins(context, distribution)
  return distribution
}

function checkOrigins(context: ApiContext, distribution: Distribution): void {
  const known = [...BUILT_IN_ORIGINS, ...Object.keys(context.state().origins)]
  for (const origin of originsOf(distribution))
    if (!known.includes(origin))
      throw new NearcastError(
        'config-invalid',
        `${distribution.id}: there is no origin ${origin}; there are ${known.join(', ')}`,
      )
}

function checkMembers({ state }: ApiContext, id: string, members: readonly string[]): void {
  const { origins } = state()
  const group = groupOf(origins, id)
  if (group !== undefined)
    throw new NearcastError(
      'config-invalid',
      `${id}: is a member of ${group}, so it cannot be a group`,
    )
  for (const member of members) {
    const options = Object.hasOwn(origins, member) ? origins[member] : undefined
    if (!options || options.kind === 'group' || member === id)
      throw new NearcastError('config-invalid', `${id}: ${member} cannot be a member of a group`)
  }
}

function originsOf(distribution: Distribution): readonly string[] {
  return distribution.kind === 'web'
    ? distribution.behaviors.map((behavior) => behavior.origin)
    : [distribution.origin]
}

function userOf({ state, stores }: ApiContext, id: string): string | undefined {
  if (stores.includes(id)) return 'the configuration (vod.origin or live.record)'
  const { distributions, origins } = state()
  const distribution = distributions.find((one) => originsOf(one).includes(id))
  if (distribution) return `distribution ${distribution.id}`
  const group = groupOf(origins, id)
  return group === undefined ? undefined : `origin ${group}`
}

function groupOf(origins: ControlSnapshot['origins'], id: string): string | undefined {
  return Object.keys(origins).find((one) => {
    const options = origins[one]
    return options?.kind === 'group' && options.members.includes(id)
  })
}

function showOrigin(id: string, options: OriginOptions): object {
  if (options.kind !== 'http') return { id, ...options }
  const headers = Object.fromEntries(Object.keys(options.headers).map((name) => [name, '…']))
  return { id, ...options, headers }
}

function unwrap<T>(checked: Validated<T>): T {
  if (checked.kind === 'valid') return checked.value
  throw new NearcastError('config-invalid', checked.problems.join('; '))
}
