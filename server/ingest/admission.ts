import { describeError } from '../lib/errors.ts'

/** A publisher whose key is right, as the server that decides is told of it; never with its key. */
export interface AdmissionRequest {
  readonly stream: string
  /** It would stand by for a publisher with another key. */
  readonly backup: boolean
  readonly protocol: 'rtmp' | 'rtmps'
  /** IP address. */
  readonly address: string
  /** The program, as it calls itself. */
  readonly agent: string
}

export type AdmissionVerdict =
  | { readonly kind: 'admitted' }
  /** `description` is for the publisher; `trouble` for the log: why nobody decided. */
  | { readonly kind: 'refused'; readonly description: string; readonly trouble?: string }

/** Asks somebody else whether a publisher may begin. Ends within its own deadline and does not reject, unless `signal` is aborted. */
export type Admission = (
  request: AdmissionRequest,
  signal: AbortSignal,
) => Promise<AdmissionVerdict>

const NOBODY = 'Who may publish could not be asked. Try again in a moment.'

/** Nobody decided, so nobody is let in; `trouble` is for the log. */
export function undecided(trouble: string): AdmissionVerdict {
  return { kind: 'refused', description: NOBODY, trouble }
}

export function failedToDecide(error: unknown): AdmissionVerdict {
  return undecided(describeError(error))
}
