import type { Fields } from './message.ts'

// RFC 9110 §7.6.1, and the fields RFC 9111 §3.1 forbids to store: they mean this connection only.
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

// RFC 9110 §7.6.1 forbids to list end-to-end fields in Connection; without these the message would say something else.
const NEVER_DROPPED: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'host',
  'vary',
])

/** All values of a field as one line (RFC 9110 §5.3); undefined when it is absent. Not for Set-Cookie. */
export function fieldLine(headers: Fields, name: string): string | undefined {
  const value = headers[name]
  return value === undefined || typeof value === 'string' ? value : value.join(', ')
}

/** The members of a comma-separated list, trimmed; commas inside quotes do not separate, empty members are dropped. */
export function listMembers(value: string | undefined): readonly string[] {
  if (value === undefined) return []
  if (!value.includes('"')) return value.split(',').map(trim).filter(isFilled)
  const members: string[] = []
  let start = 0
  let quoted = false
  for (let i = 0; i < value.length; i++) {
    const character = value[i]
    if (quoted && character === '\\') i++
    else if (character === '"') quoted = !quoted
    else if (!quoted && character === ',') {
      members.push(value.slice(start, i))
      start = i + 1
    }
  }
  members.push(value.slice(start))
  return members.map(trim).filter(isFilled)
}

/** The fields that go further than one connection: without hop-by-hop ones and those that Connection lists (RFC 9110 §7.6.1). */
export function endToEndFields(headers: Fields): Fields {
  const listed = connectionOptions(headers)
  const kept: Record<string, string | readonly string[]> = {}
  for (const [name, value] of Object.entries(headers))
    if (!HOP_BY_HOP.has(name) && !listed?.has(name) && name !== '__proto__') kept[name] = value
  return kept
}

function connectionOptions(headers: Fields): ReadonlySet<string> | undefined {
  const line = fieldLine(headers, 'connection')
  if (line === undefined) return undefined
  const names = listMembers(line).map((name) => name.toLowerCase())
  return new Set(names.filter((name) => !NEVER_DROPPED.has(name)))
}

function trim(text: string): string {
  return text.trim()
}

function isFilled(text: string): boolean {
  return text !== ''
}
