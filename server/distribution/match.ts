import type { Behavior, Distribution, WebDistribution } from './types.ts'

/** A behavior and the test for the paths it answers. */
export interface CompiledBehavior {
  readonly behavior: Behavior
  readonly matches: (path: string) => boolean
}

interface HostIndex {
  readonly exact: ReadonlyMap<string, WebDistribution>
  /** By what follows the asterisk: `.example.com`. */
  readonly wildcards: ReadonlyMap<string, WebDistribution>
  readonly any: WebDistribution | undefined
}

/** RFC 1035 §2.3.4: no name is longer, and looking one up costs its length for each of its dots. */
const NAME_MAX = 255

const hostIndexes = new WeakMap<readonly Distribution[], HostIndex>()
const compiledBehaviors = new WeakMap<WebDistribution, readonly CompiledBehavior[]>()

/**
 * The enabled web distribution that a Host field names: an exact name beats `*.example.com` (any depth, the longest
 * wins), which beats `*`. A disabled distribution keeps its names to itself: then nothing answers. The index is made
 * once for each array, so change the array, never its members.
 */
export function findDistribution(
  distributions: readonly Distribution[],
  host: string | undefined,
): WebDistribution | undefined {
  let index = hostIndexes.get(distributions)
  if (!index) {
    index = indexHosts(distributions)
    hostIndexes.set(distributions, index)
  }
  const found = lookUp(index, hostName(host ?? ''))
  return found?.enabled ? found : undefined
}

/** The first behavior whose pattern matches the path; the query is not looked at. */
export function findBehavior(distribution: WebDistribution, path: string): Behavior | undefined {
  let compiled = compiledBehaviors.get(distribution)
  if (!compiled) {
    compiled = compileBehaviors(distribution.behaviors)
    compiledBehaviors.set(distribution, compiled)
  }
  for (const { behavior, matches } of compiled) if (matches(path)) return behavior
  return undefined
}

/** The behaviors of a distribution in their order, patterns made ready. */
export function compileBehaviors(behaviors: readonly Behavior[]): readonly CompiledBehavior[] {
  return behaviors.map((behavior) => ({ behavior, matches: compilePattern(behavior.path) }))
}

/**
 * CloudFront's path pattern as a test: `*` any run of characters, `?` exactly one, case-sensitive, the leading slash
 * optional. For paths as `normalPath` spells them, however the pattern is spelt. At most pattern length times path length
 * steps, whatever both say.
 */
export function compilePattern(pattern: string): (path: string) => boolean {
  const spelt = writtenPath(pattern)
  const absolute = spelt.startsWith('/') || spelt.startsWith('*') ? spelt : `/${spelt}`
  if (!absolute.includes('?')) {
    const star = absolute.indexOf('*')
    if (star < 0) return (path) => path === absolute
    if (absolute === '*' || absolute === '/*') return () => true
    if (star === absolute.length - 1) {
      const prefix = absolute.slice(0, -1)
      return (path) => path.startsWith(prefix)
    }
    if (star === 0 && !absolute.includes('*', 1)) {
      const suffix = absolute.slice(1)
      return (path) => path.endsWith(suffix)
    }
  }
  return (path) => matchesGlob(absolute, path)
}

/** RFC 3986 §6.2.2: the one spelling of a path, for matching, key and origin alike; what may stand as it is does, hex digits are upper case. */
export function normalPath(path: string): string {
  if (!path.includes('%')) return path
  return path.replaceAll(/%[0-9a-f]{2}/gi, (escape) => {
    const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
    return /[A-Za-z0-9._~-]/.test(character) ? character : escape.toUpperCase()
  })
}

/** A path as people write it in a configuration, in that spelling. */
export function writtenPath(path: string): string {
  return normalPath(path.replaceAll(/[^!-~]+/g, escapedBytes))
}

function escapedBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('hex').replaceAll(/../g, '%$&')
}

// Only the last asterisk is ever taken back: what an earlier one took is settled, so there is no exponential search.
function matchesGlob(pattern: string, path: string): boolean {
  let p = 0
  let t = 0
  let star = -1
  let taken = 0
  while (t < path.length) {
    const character = pattern[p]
    if (character === '*') {
      star = p
      taken = t
      p++
    } else if (character === '?' || character === path[t]) {
      p++
      t++
    } else if (star >= 0) {
      taken++
      t = taken
      p = star + 1
    } else return false
  }
  while (pattern[p] === '*') p++
  return p === pattern.length
}

/** The name in a Host field: lower case, without port, brackets of IPv6 and a closing dot. */
export function hostName(host: string): string {
  const text = host.trim().toLowerCase()
  if (text.startsWith('[')) {
    const end = text.indexOf(']')
    return end < 0 ? text : text.slice(1, end)
  }
  const colon = text.indexOf(':')
  // More than one colon and no brackets: an IPv6 literal as people write it in a configuration.
  const name = colon >= 0 && !text.includes(':', colon + 1) ? text.slice(0, colon) : text
  return name.endsWith('.') ? name.slice(0, -1) : name
}

function indexHosts(distributions: readonly Distribution[]): HostIndex {
  const exact = new Map<string, WebDistribution>()
  const wildcards = new Map<string, WebDistribution>()
  let any: WebDistribution | undefined
  const better = (known: WebDistribution | undefined, one: WebDistribution) =>
    known === undefined || (!known.enabled && one.enabled) ? one : known
  for (const distribution of distributions) {
    if (distribution.kind !== 'web') continue
    for (const host of distribution.hosts) {
      if (host === '*') any = better(any, distribution)
      else if (host.startsWith('*.')) {
        const suffix = `.${hostName(host.slice(2))}`
        wildcards.set(suffix, better(wildcards.get(suffix), distribution))
      } else exact.set(hostName(host), better(exact.get(hostName(host)), distribution))
    }
  }
  return { exact, wildcards, any }
}

function lookUp(index: HostIndex, name: string): WebDistribution | undefined {
  const exact = index.exact.get(name)
  if (exact) return exact
  if (index.wildcards.size > 0 && name.length <= NAME_MAX)
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const found = index.wildcards.get(name.slice(dot))
      if (found && dot > 0) return found
    }
  return index.any
}
