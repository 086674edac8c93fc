/** What a store knows of an object without reading it. */
export interface ObjectInfo {
  readonly key: string
  readonly size: number
  /** Entity tag without quotes. Strong, unless it says `weak`: other bytes, another etag. */
  readonly etag: string
  /** The etag promises the same meaning, not the same bytes (RFC 9110 §8.8.1): reads under it cannot be put together. */
  readonly weak?: boolean | undefined
  /** Milliseconds since 1970. */
  readonly lastModified: number
  /** As stored with the object; undefined when the store keeps none. */
  readonly contentType?: string | undefined
  /** Stored HTTP fields that go out with the object (`cache-control`, `content-disposition`…), lower-case names. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** Inclusive byte positions, or the last `suffix` bytes. `end` past the object is cut to it. */
export type ReadRange =
  | { readonly start: number; readonly end?: number | undefined }
  | { readonly suffix: number }

export interface ReadOptions {
  readonly range?: ReadRange | undefined
  /** Read only while the object still has this strong etag; else `object-changed`, also under an equal weak one (RFC 9110 §13.1.1). */
  readonly ifMatch?: string | undefined
  readonly signal: AbortSignal
}

export interface ObjectRead {
  readonly info: ObjectInfo
  /** First byte and length of what `body` gives. */
  readonly start: number
  readonly length: number
  /** Pulled with backpressure; ends the transfer when its iterator is returned. Throws `store-failed` when cut short, `object-changed`. */
  readonly body: AsyncIterable<Uint8Array>
}

export interface WriteOptions {
  readonly contentType?: string | undefined
  /** Body length when known: a body of another length is `bad-request`. S3 takes more than 80 GB only when it is known. */
  readonly size?: number | undefined
  readonly signal: AbortSignal
}

export interface ListOptions {
  /** Stop at this character behind the prefix and give common prefixes, as S3 does. */
  readonly delimiter?: string | undefined
  readonly cursor?: string | undefined
  /** At most this many objects and prefixes together; 1 to 1000. */
  readonly limit?: number | undefined
  readonly signal: AbortSignal
}

export interface ObjectList {
  readonly objects: readonly ObjectInfo[]
  readonly prefixes: readonly string[]
  readonly cursor?: string | undefined
}

/**
 * A flat space of immutable-until-replaced objects: `s3.ts`, `file.ts`, `memory.ts`, all held to one contract suite.
 * Errors: `object-not-found`, `object-changed`, `range-not-satisfiable`, `bad-request` (a key that is not allowed),
 * `store-denied`, `bucket-not-found`, `store-failed`, `store-unreachable`, `limit-exceeded` (too long to write). A write is all or nothing.
 */
export interface ObjectStore {
  /** Where it is, for people: `s3://bucket/prefix` or a folder. No secret in it. */
  readonly description: string
  /** undefined when there is no such object. */
  stat(key: string, signal: AbortSignal): Promise<ObjectInfo | undefined>
  read(key: string, options: ReadOptions): Promise<ObjectRead>
  write(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: WriteOptions,
  ): Promise<ObjectInfo>
  list(prefix: string, options: ListOptions): Promise<ObjectList>
  /** Removing what is not there is no error. */
  remove(key: string, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}
