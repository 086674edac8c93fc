import type { NearcastError } from '../lib/errors.ts'
import type { Generation } from './generation.ts'
import type { AnswerName } from './tier/record-names.ts'
import { Evictable, type Shortage } from './sieve.ts'

/** Field names in lower case; a field that came several times is an array. */
export type StoredFields = Readonly<Record<string, string | readonly string[]>>

/** Where the change log stood before the origin was asked: what was invalidated since is not to be served. */
export interface ChangeStamp {
  readonly epoch: string
  readonly seq: number
  /** The same for this process alone: its own unsafe requests (RFC 9111 §4.4). */
  readonly localSeq: number
}

/** What the origin said and when: all that freshness, conditions and invalidation are decided by. Times are milliseconds since 1970. */
export interface ObjectFacts {
  readonly distribution: string
  /** As the viewer sees it, without the query: what invalidations name. */
  readonly path: string
  readonly method: string
  readonly status: number
  readonly responseFields: StoredFields
  readonly requestTime: number
  readonly responseTime: number
  /** The origin was asked with Authorization. */
  readonly authorized: boolean
  /** Names and values in turn, ready to be sent to any viewer. */
  readonly flat: readonly string[]
  readonly stamp: ChangeStamp
  /** Names the origin gave it for invalidations, in lower case. */
  readonly tags?: readonly string[] | undefined
  /** The origin gave no answer but this failure. */
  readonly failure?: NearcastError | undefined
}

/** What the invalidations said of an object, and in which state they were: it holds for these facts while they are in it. */
export interface CheckedValidity {
  readonly facts: ObjectFacts
  readonly log: object
  readonly local: object
  readonly validity:
    | { readonly kind: 'valid' }
    | { readonly kind: 'gone' }
    | { readonly kind: 'stale'; readonly since: number }
}

/** Status line and fields as they were sent last, and for what: they are kept with the object so that both go together. */
export interface SentHead {
  readonly facts: ObjectFacts
  readonly age: number
  readonly ttl: number
  readonly status: number
  readonly start: number
  readonly end: number
  readonly text: string
}

export interface ObjectOwner {
  objectEvicted(object: StoredObject, of: Shortage): void
  /** Its facts are newer ones. */
  objectRefreshed(object: StoredObject): void
  /** What was learnt of it is to be found by others too. */
  objectTold(object: StoredObject): void
  /** The invalidations were asked of one that is made anew for each who asks. */
  objectChecked(object: StoredObject, checked: CheckedValidity): void
}

/** One answer of an origin under its key and variant. A 304 replaces the facts; the bytes belong to the generation. */
export class StoredObject extends Evictable {
  readonly key: string
  /** Lower-case names of request fields that choose the variant, sorted. */
  readonly vary: readonly string[]
  readonly variant: string
  readonly generation: Generation
  readonly #owner: ObjectOwner
  #facts: ObjectFacts
  #restUntil = 0
  /** It lies whole in a tier below, as it is. */
  rests = false
  /** It lies in packed memory, as it is, if it was not given up there. */
  packed = false
  /** Made for one who asked, from what is packed: it is in no bound, and found by nobody else. */
  passing = false
  #checked: CheckedValidity | undefined = undefined
  sent: SentHead | undefined = undefined

  constructor(
    owner: ObjectOwner,
    { key, vary, variant }: AnswerName,
    facts: ObjectFacts,
    generation: Generation,
  ) {
    super()
    this.#owner = owner
    this.key = key
    this.vary = vary
    this.variant = variant
    this.#facts = facts
    this.generation = generation
  }

  get facts(): ObjectFacts {
    return this.#facts
  }
  get checked(): CheckedValidity | undefined {
    return this.#checked
  }
  set checked(checked: CheckedValidity | undefined) {
    this.#checked = checked
    if (checked && this.passing) this.#owner.objectChecked(this, checked)
  }
  /** Until then an origin that failed is not asked again, and the stale answer is served. Milliseconds since 1970. */
  get restUntil(): number {
    return this.#restUntil
  }
  set restUntil(at: number) {
    this.#restUntil = at
    this.#owner.objectTold(this)
  }

  /** After a 304: the same bytes, newer facts. */
  refresh(facts: ObjectFacts): void {
    this.#facts = facts
    this.#restUntil = 0
    this.#owner.objectRefreshed(this)
  }
  /** Its bytes go first: without it nobody finds them. */
  get eviction(): 'free' | 'last' {
    return this.generation.usable && !this.generation.empty ? 'last' : 'free'
  }

  evicted(of: Shortage): void {
    this.#owner.objectEvicted(this, of)
  }
}

/** The last object that names a generation and is held. */
export function objectOf({ object }: Generation): StoredObject | undefined {
  return object instanceof StoredObject ? object : undefined
}

/** Objects, their maps and header strings: measured on Node 20, rounded up. */
const OBJECT_OVERHEAD_BYTES = 1024

/** What an object takes beside its bytes: also what of its fields no viewer is sent. */
export function objectCost(key: string, variant: string, facts: ObjectFacts): number {
  let characters = (key.length + variant.length + facts.path.length) * 2
  for (const text of facts.flat) characters += text.length
  for (const [name, value] of Object.entries(facts.responseFields)) {
    characters += name.length
    for (const text of typeof value === 'string' ? [value] : value) characters += text.length * 2
  }
  for (const tag of facts.tags ?? []) characters += tag.length * 2
  return OBJECT_OVERHEAD_BYTES + characters
}
