import { parseRange } from '../../server/http/range.ts'
import type { Origin } from '../../server/http/message.ts'
import { message } from './edge-fixture.ts'

/** An origin of one object under every path, with a strong etag and ranges; it counts the bytes it gave. */
export function rangeOrigin(id: string, bytes: Buffer): Origin & { fetched: number } {
  const origin = {
    id,
    caching: 'shared' as const,
    ranges: true,
    keyQuery: [],
    fetched: 0,
    fetch: async ({ headers }: Parameters<Origin['fetch']>[0]) => {
      const fields = { etag: '"v1"', 'cache-control': 'max-age=600' }
      const range = typeof headers['range'] === 'string' ? headers['range'] : ''
      const asked = parseRange(range, bytes.length)
      const [one] = asked.kind === 'ranges' ? asked.ranges : []
      const body = one ? bytes.subarray(one.start, one.end + 1) : bytes
      const length = { ...fields, 'content-length': String(body.length) }
      const part = one && { 'content-range': `bytes ${one.start}-${one.end}/${bytes.length}` }
      async function* chunks() {
        for (let at = 0; at < body.length; at += 16 * 1024) {
          const chunk = body.subarray(at, at + 16 * 1024)
          origin.fetched += chunk.length
          yield chunk
        }
      }
      return message(one ? 206 : 200, { ...length, ...part }, chunks())
    },
  }
  return origin
}
