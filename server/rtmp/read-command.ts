import { type AmfObject, type AmfValue, readAmf0 } from '../formats/flv/amf0.ts'
import { NearcastError } from '../lib/errors.ts'
import { MESSAGE, type RtmpMessage } from './messages.ts'

interface CommandBase {
  readonly transaction: number
  readonly streamId: number
}

/** The commands that mean something here; names as peers sent them, query strings included. */
export type RtmpCommand = CommandBase &
  (
    | { readonly kind: 'connect'; readonly app: string; readonly agent: string }
    | { readonly kind: 'create-stream' }
    | { readonly kind: 'release-stream' | 'fc-publish' | 'fc-unpublish'; readonly name: string }
    | { readonly kind: 'fc-subscribe' | 'get-stream-length'; readonly name: string }
    | { readonly kind: 'publish'; readonly name: string }
    | { readonly kind: 'play'; readonly name: string; readonly start: number }
    | { readonly kind: 'pause'; readonly paused: boolean; readonly positionMs: number }
    | { readonly kind: 'seek'; readonly positionMs: number }
    | { readonly kind: 'close-stream' }
    | { readonly kind: 'other'; readonly name: string }
  )

const NAME_CHARS_MAX = 4096

/** Reads a command message (type 20, or 17 with its leading zero); throws `bad-request` or `limit-exceeded`. */
export function readCommand(message: RtmpMessage): RtmpCommand {
  const [command, transaction, info, ...args] = readAmf0(amf0Of(message))
  if (typeof command !== 'string') throw new NearcastError('bad-request', 'a command without name')
  const base = {
    transaction: typeof transaction === 'number' ? transaction : 0,
    streamId: message.streamId,
  }
  switch (command) {
    case 'connect': {
      if (!isObject(info)) throw new NearcastError('bad-request', 'connect without its object')
      const agent = info.get('flashVer')
      return {
        ...base,
        kind: 'connect',
        app: nameOf(command, info.get('app')),
        agent: typeof agent === 'string' ? printable(agent) : '',
      }
    }
    case 'createStream':
      return { ...base, kind: 'create-stream' }
    case 'releaseStream':
      return { ...base, kind: 'release-stream', name: nameOf(command, args[0]) }
    case 'FCPublish':
      return { ...base, kind: 'fc-publish', name: nameOf(command, args[0]) }
    case 'FCUnpublish':
      return { ...base, kind: 'fc-unpublish', name: nameOf(command, args[0]) }
    case 'FCSubscribe':
      return { ...base, kind: 'fc-subscribe', name: nameOf(command, args[0]) }
    case 'getStreamLength':
      return { ...base, kind: 'get-stream-length', name: nameOf(command, args[0]) }
    case 'publish':
      return { ...base, kind: 'publish', name: nameOf(command, args[0]) }
    case 'play':
      return { ...base, kind: 'play', name: nameOf(command, args[0]), start: finite(args[1], -2) }
    case 'pause':
    case 'pauseRaw':
      return { ...base, kind: 'pause', paused: args[0] === true, positionMs: finite(args[1], 0) }
    case 'seek':
      return { ...base, kind: 'seek', positionMs: finite(args[0], 0) }
    case 'deleteStream':
    case 'closeStream':
      // deleteStream carries an id, from GStreamer the name: a session has one stream, so neither is looked at.
      return { ...base, kind: 'close-stream' }
    default:
      return { ...base, kind: 'other', name: printable(command) }
  }
}

/** Types 15 and 17 announce AMF3 and then, after a zero, carry AMF0: that is all that Flash and its heirs send. */
export function amf0Of(message: RtmpMessage): Buffer {
  const amf3 = message.type === MESSAGE.commandAmf3 || message.type === MESSAGE.dataAmf3
  if (!amf3) return message.payload
  if (message.payload[0] !== 0) throw new NearcastError('bad-request', 'an AMF3 message')
  return message.payload.subarray(1)
}

function isObject(value: AmfValue): value is AmfObject {
  return value instanceof Map
}

/** A missing name is an empty one: it will be refused as unknown, in the words of the command. */
function nameOf(command: string, value: AmfValue): string {
  if (value === undefined || value === null) return ''
  if (typeof value !== 'string') throw new NearcastError('bad-request', `${command} with no name`)
  if (value.length > NAME_CHARS_MAX) {
    throw new NearcastError(
      'limit-exceeded',
      `${command} with a name of ${value.length} characters`,
    )
  }
  return value
}

function finite(value: AmfValue, otherwise: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : otherwise
}

/** For logs. */
function printable(text: string): string {
  return text.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, '?')
}
