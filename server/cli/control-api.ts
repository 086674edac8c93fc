import type { ControlAddress } from '../config/find-ready.ts'
import { describeError } from '../lib/errors.ts'
import { CommandFailure } from './command.ts'

const TIMEOUT_MS = 30_000
const MAX_BODY = 64 * 2 ** 20

/** Asks the control API of a running server; what is no success is a CommandFailure with the server's own sentence. */
export async function askControl(
  { url, token }: ControlAddress,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await send(url, token, method, path, body)
  const text = await readText(response, url)
  const answer = text === '' ? undefined : parse(text)
  if (response.ok) return answer
  throw new CommandFailure(
    response.status === 400 ? 'usage' : 'failed',
    messageOf(answer) ?? `${url} answered ${response.status}`,
  )
}

async function send(
  url: string,
  token: string,
  method: string,
  path: string,
  body: unknown,
): Promise<Response> {
  try {
    return await fetch(new URL(`/api/v1${path}`, url), {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
  } catch (error) {
    throw unreachable(url, error)
  }
}

async function readText(response: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length
      if (length > MAX_BODY) throw new RangeError('its answer is too long')
      chunks.push(chunk)
    }
  } catch (error) {
    throw unreachable(url, error)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function unreachable(url: string, error: unknown): CommandFailure {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return new CommandFailure('failed', `${url} cannot be reached: ${describeError(cause)}`)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function messageOf(answer: unknown): string | undefined {
  if (typeof answer !== 'object' || answer === null || !('message' in answer)) return undefined
  return typeof answer.message === 'string' ? answer.message : undefined
}
