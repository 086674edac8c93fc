/** The bytes of answers without those 1xx that nobody waits for. */
export interface Filtered {
  /** For the parser. */
  readonly bytes: Buffer
  /** False when more of them came before one answer than anybody sends. */
  readonly fits: boolean
}

/** More before one answer than this are a flood, and viewers would be sent all of them. */
export const INFORMATIONAL_MAX = 100
/** Of one of them: past this it is left to the parser, which has a bound of its own. */
const HEAD_BYTES_MAX = 32 * 1024
const HEAD_END = '\r\n\r\n'
const NOTHING = Buffer.alloc(0)
const INTERIM = 'HTTP/1.x 1'

/**
 * A connection's bytes on their way to a parser that takes an unasked `100 Continue` for a broken answer: RFC 9110 §15.2 has each client
 * read any number of 1xx before an answer. What is not looked at is handed on at once: bodies, and answers from the first byte that tells.
 */
export class InterimFilter {
  #held: Buffer = NOTHING
  #dropped = 0
  #before = true

  /** A request is about to be sent, and everything before it is answered. */
  expect(): void {
    this.#before = true
    this.#dropped = 0
  }

  take(chunk: Buffer): Filtered {
    if (!this.#before) return { bytes: chunk, fits: true }
    let rest = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk
    this.#held = NOTHING
    const passed: Buffer[] = []
    while (this.#before) {
      const begun = isInterim(rest)
      const end = begun ? rest.indexOf(HEAD_END) : -1
      if (begun === false || (begun && end < 0 && rest.length > HEAD_BYTES_MAX)) {
        this.#before = false
        break
      }
      if (end < 0) {
        this.#held = rest
        rest = NOTHING
        break
      }
      const head = rest.subarray(0, end + HEAD_END.length)
      if (head.toString('latin1', 9, 12) === '101') {
        this.#before = false
        break
      }
      rest = rest.subarray(head.length)
      if (!isDropped(head)) passed.push(head)
      else if (++this.#dropped > INFORMATIONAL_MAX) return { bytes: NOTHING, fits: false }
    }
    return { bytes: passed.length === 0 ? rest : Buffer.concat([...passed, rest]), fits: true }
  }
}

/** Whether these bytes begin a 1xx; undefined while there are too few to tell. */
function isInterim(bytes: Buffer): boolean | undefined {
  const begun = bytes.toString('latin1', 0, INTERIM.length)
  for (let at = 0; at < begun.length; at++) {
    const fits = INTERIM[at] === 'x' ? /[01]/.test(begun[at] ?? '') : begun[at] === INTERIM[at]
    if (!fits) return false
  }
  return begun.length < INTERIM.length ? undefined : true
}

/** 100, and what would make the parser end the connection: it is of HTTP/1.0, or says what becomes of the connection. */
function isDropped(head: Buffer): boolean {
  const text = head.toString('latin1')
  return text.startsWith('HTTP/1.0') || /^HTTP\/1\.1 100[ \r]/.test(text) || CONNECTION.test(text)
}

const CONNECTION = /\r\nconnection[ \t]*:/i
