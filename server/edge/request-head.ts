import type { Fields } from '../http/message.ts'

/** A request that can be answered without node's HTTP parser. */
export interface RequestHead {
  readonly method: 'GET'
  /** In origin form (RFC 9112 §3.2.1). */
  readonly target: string
  /** Names in lower case, each once. */
  readonly headers: Fields
}

/** Longer ones are rare, and left to the parser. */
export const HEAD_BYTES_MAX = 4096

// RFC 9112 §3, §5 without what is lenient, obsolete or rare there: visible ASCII, one space, CR LF, no folding.
// One class for a value and the space around it: two of them would be tried in every division of many spaces.
const HEAD =
  /^GET (\/[!"$-~]*) HTTP\/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n){1,64})\r\n$/
// RFC 3986 §3.2.2, with a port; names and addresses only.
const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/
/** What these ask for is more than bytes on this connection. */
const NOT_HERE: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/**
 * Reads the head of a plain GET, which is the whole of `text`. undefined for everything else, be it wrong or only unusual: node's parser
 * decides on that. What is taken here is a subset of what that parser takes, with the same meaning.
 */
export function readRequestHead(text: string): RequestHead | undefined {
  if (text.length > HEAD_BYTES_MAX) return undefined
  const match = HEAD.exec(text)
  if (!match) return undefined
  const [, target = '', lines = ''] = match
  const headers: Record<string, string> = {}
  for (const line of lines.split('\r\n')) {
    if (line === '') continue
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (name in headers || name === '__proto__') return undefined
    if (NOT_HERE.has(name) && !(name === 'connection' && /^keep-alive$/i.test(value)))
      return undefined
    headers[name] = value
  }
  if (!HOST.test(headers['host'] ?? '')) return undefined
  return { method: 'GET', target, headers }
}
