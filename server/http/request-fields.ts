import type { Fields } from './message.ts'

// RFC 3986 §3.2.2, with a port; empty where the target has no authority (RFC 9112 §3.2).
const HOST = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\w.~!$&'()*+,;=:-]+\])(?::\d*)?$/

/** Whether this can be the value of a Host field. */
export function isHost(value: string): boolean {
  return HOST.test(value)
}

/** Whether a request has content, be it empty (RFC 9112 §6). */
export function hasBody(
  headers: Fields | Readonly<Record<string, string | string[] | undefined>>,
): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}

/** Whether who sends it waits for a 100 before its content (RFC 9110 §10.1.1). */
export function expectsContinue(expect: string | undefined): boolean {
  return expect?.toLowerCase() === '100-continue'
}
