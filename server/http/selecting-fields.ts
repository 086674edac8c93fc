import { fieldLine, listMembers } from './fields.ts'
import type { Fields } from './message.ts'

/** Lists of what a viewer accepts: case and order of equal weights mean nothing (RFC 9110 §12.5). */
const PREFERENCES: ReadonlySet<string> = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
])
/** No lists: a comma and the space around it are part of what they say. */
const VERBATIM: ReadonlySet<string> = new Set(['authorization', 'cookie', 'user-agent'])
const LONGEST = 1024

/**
 * Request fields so written that those which mean the same are the same text: what Vary selects by (RFC 9111 §4.1 allows it), and what
 * stands in a key. White space around commas goes; preferences are in lower case, by weight and then by name.
 */
export function selectingFields(headers: Fields): Fields {
  const written: Record<string, string> = {}
  for (const name of Object.keys(headers)) {
    const line = fieldLine(headers, name)
    if (line !== undefined) written[name] = selectingValue(name, line)
  }
  return written
}

/** One field of these. */
export function selectingValue(name: string, line: string): string {
  if (line.length > LONGEST || VERBATIM.has(name)) return line
  if (!PREFERENCES.has(name)) return /[\s,]/.test(line) ? listMembers(line).join(',') : line
  // What is quoted may mean something else in upper case.
  if (line.includes('"')) return listMembers(line).join(',')
  return listMembers(line.toLowerCase())
    .map(readPreference)
    .sort((a, b) => b.weight - a.weight || (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
    .map(({ text, weight }) => (weight === 1 ? text : `${text};q=${weight}`))
    .join(',')
}

// RFC 9110 §12.4.2: a weight has at most three digits behind the point; what is none counts as 1.
function readPreference(member: string): { readonly text: string; readonly weight: number } {
  const parts = member.split(';').map((part) => part.trim())
  const at = parts.findIndex((part) => /^q=(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(part))
  const weight = at < 0 ? 1 : Number(parts[at]?.slice(2))
  return { text: parts.filter((_, i) => i !== at).join(';'), weight }
}
