import type { OriginRequest } from '../http/message.ts'
import { NearcastError } from '../lib/errors.ts'

/** A place in the change log: what the follower has seen already. */
export interface FollowedPosition {
  readonly epoch: string
  readonly seq: number
}

/** An edge's word that the changes up to here are in force there; `process` tells apart those that have one name. */
export interface AppliedByEdge extends FollowedPosition {
  readonly edge: string
  readonly process: string
}

type Target =
  | { readonly kind: 'origins' }
  | { readonly kind: 'changes'; readonly after: FollowedPosition | undefined }
  | { readonly kind: 'tail'; readonly name: string }
  | { readonly kind: 'applied'; readonly said: AppliedByEdge }
  | {
      readonly kind: 'origin'
      readonly id: string
      readonly path: string
      readonly query: string
    }

/** What a request line of this wire asks for; throws `not-found` or `bad-request`. */
export function parseTarget(url: string): Target {
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  const query = mark === -1 ? '' : url.slice(mark + 1)
  if (path === '/v1/origins') return { kind: 'origins' }
  if (path === '/v1/changes') return { kind: 'changes', after: parseAfter(query) }
  const applied = /^\/v1\/edges\/([^/]+)\/applied$/.exec(path)
  if (applied?.[1] !== undefined)
    return { kind: 'applied', said: parseApplied(decode(applied[1]), query) }
  const tail = /^\/v1\/live\/([^/]+)\/tail$/.exec(path)
  if (tail?.[1] !== undefined) return { kind: 'tail', name: decode(tail[1]) }
  const origin = /^\/v1\/o\/([^/]+)(\/.*)$/.exec(path)
  if (origin?.[1] !== undefined && origin[2] !== undefined)
    return { kind: 'origin', id: decode(origin[1]), path: origin[2], query }
  throw new NearcastError('not-found', `${path.slice(0, 200)} is no address of an origin`)
}

function parseAfter(query: string): FollowedPosition | undefined {
  const after = new URLSearchParams(query).get('after')
  return after === null || after === '' ? undefined : parsePosition('after', after)
}

function parsePosition(name: string, text: string): FollowedPosition {
  const match = /^([a-z0-9]{1,64}):(\d{1,15})$/.exec(text)
  if (match?.[1] === undefined)
    throw new NearcastError('bad-request', `${name}=${text.slice(0, 100)} is not EPOCH:SEQ`)
  return { epoch: match[1], seq: Number(match[2]) }
}

function parseApplied(edge: string, query: string): AppliedByEdge {
  const fields = new URLSearchParams(query)
  const by = fields.get('by') ?? ''
  if (!/^[\w-]{1,64}$/.test(edge) || !/^[a-z0-9]{1,32}$/.test(by))
    throw new NearcastError(
      'bad-request',
      'what was applied is said as /v1/edges/ID/applied?at=&by=',
    )
  return { edge, process: by, ...parsePosition('at', fields.get('at') ?? '') }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new NearcastError('bad-request', `${text.slice(0, 100)} is not percent-encoded UTF-8`)
  }
}

/** `DISTRIBUTION PATH`; undefined for anything else. */
export function parseMatched(text: string | undefined): OriginRequest['matched'] {
  const match = /^([\w-]{1,64}) (\/.*)$/.exec(text ?? '')
  if (match?.[1] === undefined || match[2] === undefined) return undefined
  return { distribution: match[1], path: match[2] }
}
