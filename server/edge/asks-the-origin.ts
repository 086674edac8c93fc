import type { Behavior } from '../distribution/types.ts'
import { parseCacheControl } from '../http/cache-control.ts'
import type { Fields, Origin } from '../http/message.ts'

const ORIGINS = ['if-match', 'if-unmodified-since']

/**
 * Whether a GET or HEAD is for the origin alone, under the standard: with no-store nothing of it or its answer may be kept (RFC 9111
 * §5.2.1.5), and If-Match and If-Unmodified-Since are for an origin server to decide, not for a cache (§4.3.2). Of stores the edge is the
 * origin server.
 */
export function asksTheOrigin(
  { semantics }: Pick<Behavior, 'semantics'>,
  { ranges }: Pick<Origin, 'ranges'>,
  headers: Fields,
): boolean {
  if (semantics !== 'rfc') return false
  if (!ranges && ORIGINS.some((name) => headers[name] !== undefined)) return true
  const control = headers['cache-control']
  if (control === undefined) return false
  const { noStore, onlyIfCached } = parseCacheControl(control)
  return noStore && !onlyIfCached
}
