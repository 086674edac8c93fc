import { NearcastError } from '../../lib/errors.ts'

/** AMF0 values as RTMP peers send them; a date is its milliseconds, XML and long strings are strings. */
export type AmfValue =
  | number
  | boolean
  | string
  | null
  | undefined
  | AmfObject
  | readonly AmfValue[]
/** A map and no plain object: names come from outside. */
export type AmfObject = ReadonlyMap<string, AmfValue>

const MARKER = {
  number: 0,
  boolean: 1,
  string: 2,
  object: 3,
  null: 5,
  undefined: 6,
  ecmaArray: 8,
  objectEnd: 9,
  strictArray: 10,
  date: 11,
  longString: 12,
  unsupported: 13,
  xml: 15,
  typedObject: 16,
} as const

const DEPTH_MAX = 16
const VALUES_MAX = 4096

/**
 * All values of a command or data message; throws `bad-request` for what is no AMF0, `limit-exceeded` past 16 levels
 * or 4096 values. Strings are bounded by the message.
 *
 * Written here and not taken from node-media-server 4.4.3: that reader has no bounds, throws on short input, and its
 * writer counts a string's UTF-16 units where AMF0 counts bytes.
 */
export function readAmf0(bytes: Buffer): readonly AmfValue[] {
  const reader = new Amf0Reader(bytes)
  const values: AmfValue[] = []
  while (!reader.atEnd) values.push(reader.value(0))
  return values
}

class Amf0Reader {
  readonly #bytes: Buffer
  #position = 0
  #values = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#position >= this.#bytes.length
  }

  value(depth: number): AmfValue {
    this.#values += 1
    if (depth > DEPTH_MAX) throw new NearcastError('limit-exceeded', `AMF nested past ${DEPTH_MAX}`)
    if (this.#values > VALUES_MAX) {
      throw new NearcastError('limit-exceeded', `more than ${VALUES_MAX} AMF values`)
    }
    const marker = this.#bytes.readUInt8(this.#take(1))
    switch (marker) {
      case MARKER.number:
        return this.#bytes.readDoubleBE(this.#take(8))
      case MARKER.boolean:
        return this.#bytes[this.#take(1)] !== 0
      case MARKER.string:
        return this.#string(this.#bytes.readUInt16BE(this.#take(2)))
      case MARKER.longString:
      case MARKER.xml:
        return this.#string(this.#bytes.readUInt32BE(this.#take(4)))
      case MARKER.null:
        return null
      case MARKER.undefined:
      case MARKER.unsupported:
        return undefined
      case MARKER.date: {
        const milliseconds = this.#bytes.readDoubleBE(this.#take(8))
        this.#take(2) // time zone, reserved
        return milliseconds
      }
      case MARKER.object:
        return this.#object(depth)
      case MARKER.ecmaArray:
        this.#take(4) // the count is a hint (AMF0 §2.10)
        return this.#object(depth)
      case MARKER.typedObject:
        this.#string(this.#bytes.readUInt16BE(this.#take(2)))
        return this.#object(depth)
      case MARKER.strictArray:
        return this.#array(depth)
      default:
        throw new NearcastError('bad-request', `AMF marker ${marker} at ${this.#position - 1}`)
    }
  }

  /** Some encoders leave the end marker off when the message ends there too. */
  #object(depth: number): AmfObject {
    const object = new Map<string, AmfValue>()
    while (!this.atEnd) {
      const name = this.#string(this.#bytes.readUInt16BE(this.#take(2)))
      if (name === '' && this.#bytes[this.#position] === MARKER.objectEnd) {
        this.#take(1)
        break
      }
      object.set(name, this.value(depth + 1))
    }
    return object
  }

  #array(depth: number): readonly AmfValue[] {
    const count = this.#bytes.readUInt32BE(this.#take(4))
    const array: AmfValue[] = []
    // Each value takes a byte at least, so a count of 2^32 ends with the message.
    for (let i = 0; i < count; i += 1) array.push(this.value(depth + 1))
    return array
  }

  #string(length: number): string {
    const start = this.#take(length)
    return this.#bytes.toString('utf8', start, start + length)
  }

  #take(length: number): number {
    const start = this.#position
    if (length > this.#bytes.length - start) {
      throw new NearcastError('bad-request', `AMF value at ${start} ends after the message`)
    }
    this.#position = start + length
    return start
  }
}

/** What this server sends: plain values, objects and strict arrays of them. */
export type AmfOut =
  | number
  | boolean
  | string
  | null
  | readonly AmfOut[]
  | { readonly [name: string]: AmfOut }

/** AMF0 of the values one after the other. Strings past 65,535 bytes are long strings. */
export function writeAmf0(...values: readonly AmfOut[]): Buffer {
  const parts: Buffer[] = []
  for (const value of values) writeValue(value, parts)
  return Buffer.concat(parts)
}

/** An ECMA array, which is how FLV files and encoders write onMetaData. */
export function writeAmf0Array(entries: Readonly<Record<string, AmfOut>>): Buffer {
  const parts: Buffer[] = []
  const head = Buffer.alloc(5)
  head[0] = MARKER.ecmaArray
  head.writeUInt32BE(Object.keys(entries).length, 1)
  parts.push(head)
  writeEntries(entries, parts)
  return Buffer.concat(parts)
}

function writeValue(value: AmfOut, parts: Buffer[]): void {
  if (value === null) parts.push(Buffer.from([MARKER.null]))
  else if (typeof value === 'boolean') parts.push(Buffer.from([MARKER.boolean, value ? 1 : 0]))
  else if (typeof value === 'number') {
    const bytes = Buffer.alloc(9)
    bytes.writeDoubleBE(value, 1)
    parts.push(bytes)
  } else if (typeof value === 'string') writeString(value, parts)
  else if (isArray(value)) writeStrictArray(value, parts)
  else writeObject(value, parts)
}

/** Array.isArray leaves readonly arrays among the objects. */
function isArray(value: AmfOut): value is readonly AmfOut[] {
  return Array.isArray(value)
}

function writeStrictArray(values: readonly AmfOut[], parts: Buffer[]): void {
  const head = Buffer.alloc(5)
  head[0] = MARKER.strictArray
  head.writeUInt32BE(values.length, 1)
  parts.push(head)
  for (const value of values) writeValue(value, parts)
}

function writeString(value: string, parts: Buffer[]): void {
  const text = Buffer.from(value)
  const long = text.length > 0xffff
  const head = Buffer.alloc(long ? 5 : 3)
  head[0] = long ? MARKER.longString : MARKER.string
  if (long) head.writeUInt32BE(text.length, 1)
  else head.writeUInt16BE(text.length, 1)
  parts.push(head, text)
}

function writeObject(value: Readonly<Record<string, AmfOut>>, parts: Buffer[]): void {
  parts.push(Buffer.from([MARKER.object]))
  writeEntries(value, parts)
}

function writeEntries(entries: Readonly<Record<string, AmfOut>>, parts: Buffer[]): void {
  for (const [name, value] of Object.entries(entries)) {
    const text = Buffer.from(name)
    const head = Buffer.alloc(2)
    head.writeUInt16BE(text.length)
    parts.push(head, text)
    writeValue(value, parts)
  }
  parts.push(Buffer.from([0, 0, MARKER.objectEnd]))
}
