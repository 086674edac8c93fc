/**
 * The one table of failures that someone branches on or reads: code → HTTP status and what it means.
 * `docs/ERRORS.md` is checked against it.
 */
export const ERRORS = {
  'bad-request': [400, 'the request cannot be read as sent'],
  'config-invalid': [400, 'a configuration value is wrong'],
  unauthorized: [401, 'no or a wrong token'],
  forbidden: [403, 'not allowed'],
  'not-found': [404, 'nothing has this address'],
  'stream-not-live': [404, 'no publisher is sending this stream'],
  'object-not-found': [404, 'the origin has no object of this name'],
  'method-not-allowed': [405, 'the behavior does not allow this method'],
  conflict: [409, 'something that is there already stands in the way'],
  'data-in-use': [409, 'another server runs with this data folder'],
  'object-changed': [409, 'the object changed while it was being read'],
  'media-replaced': [410, 'the object was replaced since the playlist was made; load it again'],
  'precondition-failed': [412, 'the condition sent with the request does not hold'],
  'content-too-large': [413, 'the body is longer than this server takes'],
  'range-not-satisfiable': [416, 'the range lies outside the object'],
  'media-unsupported': [415, 'this server cannot make the media playable'],
  'media-broken': [422, 'the file is damaged or cut short'],
  'media-encrypted': [403, 'the media is encrypted and no key is configured'],
  'limit-exceeded': [429, 'a limit of this server was reached'],
  internal: [500, 'a defect in this server'],
  'store-denied': [502, 'the object store refused the credentials'],
  'bucket-not-found': [502, 'the object store has no such bucket'],
  'store-failed': [502, 'the object store answered with an error'],
  'origin-failed': [502, 'the origin gave no usable answer'],
  'store-unreachable': [504, 'the object store cannot be reached'],
  'origin-unreachable': [504, 'the origin cannot be reached'],
  'origin-timeout': [504, 'the origin took too long'],
  'change-not-saved': [503, 'the change could not be written to the disk'],
  'port-taken': [503, 'another program listens on the port'],
  unavailable: [503, 'not ready yet, or draining'],
} as const satisfies Record<string, readonly [status: number, meaning: string]>

export type ErrorCode = keyof typeof ERRORS

/** A failure with a code from ERRORS. The message says what, which and the value seen; never a secret. */
export class NearcastError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options)
    this.name = 'NearcastError'
    this.code = code
  }
  get status(): number {
    return ERRORS[this.code][0]
  }
  /** The message without its code. */
  get sentence(): string {
    return this.message.slice(this.code.length + 2)
  }
}

/** What a viewer may read of a failure: of a 5xx its meaning, because the sentence can name buckets, addresses and credentials. */
export function publicSentence(error: NearcastError): string {
  return error.status < 500 ? error.sentence : ERRORS[error.code][1]
}

export function hasCode(error: unknown, code: ErrorCode): error is NearcastError {
  return error instanceof NearcastError && error.code === code
}

/** Any thrown value as one line that can be logged, with the error that caused it. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error))
  const cause = error.cause instanceof Error ? ` (${saidBy(error.cause)})` : ''
  return oneLine(saidBy(error) + cause)
}

// Node joins the failures of all addresses of a name in an AggregateError that says nothing itself.
function saidBy(error: Error): string {
  if (error.message !== '') return error.message
  const [first]: readonly unknown[] = error instanceof AggregateError ? error.errors : []
  return first instanceof Error ? saidBy(first) : error.name
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ')
}

/** Closes a union: the compiler shows which kind is not handled. */
export function assertNever(value: never): never {
  throw new NearcastError('internal', `unexpected ${JSON.stringify(value)}`)
}
