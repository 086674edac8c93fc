import { z } from 'zod'
import type { Clock } from '../lib/clock.ts'
import { withDeadline } from '../lib/deadline.ts'
import { describeError } from '../lib/errors.ts'
import { type Random, readableToken } from '../lib/random.ts'
import { signHook } from '../lib/sign-hook.ts'
import { type Admission, type AdmissionVerdict, undecided } from './admission.ts'

export interface AdmissionOptions {
  readonly url: string
  readonly secret: string
  readonly timeoutSeconds: number
}

const ASKED_MAX = 100
const ANSWER_BYTES_MAX = 4096
const NOT_ADMITTED = 'This publisher is not admitted.'

/**
 * Asks another server before a publisher begins, by a signed post (docs/HOOKS.md): any status 200 to 299 admits it, 400 to 499
 * refuses it with the `message` of its JSON; everything else, or nothing in time, refuses it too.
 */
export function askAdmission(
  { url, secret, timeoutSeconds }: AdmissionOptions,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Admission {
  let asked = 0
  return async (request, signal) => {
    if (asked >= ASKED_MAX) return undecided(`${ASKED_MAX} are asked about already`)
    asked += 1
    try {
      return await withDeadline(
        clock,
        timeoutSeconds * 1000,
        'the answer',
        signal,
        async (until) => {
          const at = clock.now()
          const body = JSON.stringify({ at, kind: 'admission', ...request })
          const answer = await fetch(url, {
            method: 'POST',
            headers: {
              'content-type': 'application/json',
              'nearcast-event': 'admission',
              'nearcast-id': readableToken(random, 16),
              'nearcast-signature': signHook(secret, Math.floor(at / 1000), body),
            },
            body,
            // Where it points to was not chosen by the operator.
            redirect: 'manual',
            signal: until,
          })
          return await verdictOf(answer)
        },
      )
    } catch (error) {
      // Its address may carry a token.
      return undecided(describeError(error).replaceAll(url, 'the server'))
    } finally {
      asked -= 1
    }
  }
}

async function verdictOf(answer: Response): Promise<AdmissionVerdict> {
  if (answer.ok) {
    await answer.body?.cancel()
    return { kind: 'admitted' }
  }
  if (answer.status < 400 || answer.status > 499) {
    await answer.body?.cancel()
    return undecided(`answered ${answer.status}`)
  }
  return { kind: 'refused', description: messageIn(await beginningOf(answer)) ?? NOT_ADMITTED }
}

async function beginningOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body ?? []) {
    chunks.push(chunk)
    length += chunk.byteLength
    if (length > ANSWER_BYTES_MAX) return ''
  }
  return Buffer.concat(chunks).toString()
}

const said = z.object({ message: z.string().trim().min(1) })

function messageIn(text: string): string | undefined {
  try {
    const { data } = said.safeParse(JSON.parse(text))
    // It is shown by encoders and written to the log.
    return data?.message.replaceAll(/[\p{Cc}\p{Cs}]+/gu, ' ').slice(0, 200)
  } catch {
    return undefined
  }
}
