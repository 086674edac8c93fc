/** Names taken by a key or passed on: nothing, everything, or these. */
export type NameSet = 'none' | 'all' | readonly string[]

/** Seconds. CloudFront's three numbers; `min > 0` overrules no-cache, no-store and private. */
export interface TtlBounds {
  readonly min: number
  readonly default: number
  readonly max: number
}

/** What of a request belongs to the cache key besides distribution and path. */
export interface KeyPolicy {
  readonly query: NameSet
  readonly queryOrder: 'kept' | 'sorted'
  readonly headers: NameSet
  readonly cookies: NameSet
}

/** Page of the same distribution served in place of an origin's error. */
export interface ErrorPage {
  /** Absolute path, fetched through the behaviors; undefined: only the ttl is changed. */
  readonly page?: string | undefined
  /** Status shown to the viewer instead. */
  readonly as?: number | undefined
  /** Seconds the error is kept. */
  readonly ttl?: number | undefined
}

/** `get`: GET and HEAD; `get-options`: those and OPTIONS; `all`: all seven. */
export type MethodSet = 'get' | 'get-options' | 'all'

export interface Behavior {
  /** CloudFront's pattern: `*` any run of characters, `?` exactly one, case-sensitive, leading slash optional. */
  readonly path: string
  /** Id of an origin: configured, or the built-in `live`, `vod`, `pages`. */
  readonly origin: string
  readonly methods: MethodSet
  readonly ttl: TtlBounds
  readonly key: KeyPolicy
  readonly compress: boolean
  /** Taken off the front of the path before the origin sees it; '' for none. */
  readonly strip: string
  /** By the origin's status. */
  readonly errors: Readonly<Record<number, ErrorPage>>
  /** `cloudfront`: its TTL table; `rfc`: RFC 9111 alone. */
  readonly semantics: 'cloudfront' | 'rfc'
}

/** A name viewers use, and which origin answers which path. */
export interface WebDistribution {
  readonly kind: 'web'
  readonly id: string
  readonly enabled: boolean
  /** Exact names, `*.example.com`, or `*` for any; ports are ignored. */
  readonly hosts: readonly string[]
  /** Key answered for `/`; '' for none. */
  readonly defaultRootObject: string
  /** In order; the first match wins. */
  readonly behaviors: readonly Behavior[]
}

/** Stored media over RTMP from one bucket. */
export interface RtmpDistribution {
  readonly kind: 'rtmp'
  readonly id: string
  readonly enabled: boolean
  readonly hosts: readonly string[]
  /** RTMP applications it answers to, for example `vod`, `cfx/st`. */
  readonly apps: readonly string[]
  readonly origin: string
  readonly signers: readonly string[]
}

export type Distribution = WebDistribution | RtmpDistribution

export interface S3OriginOptions {
  readonly kind: 's3'
  readonly bucket: string
  readonly prefix: string
  readonly region: string
  /** undefined: AWS. */
  readonly endpoint: string | undefined
  readonly pathStyle: boolean
}
export interface FileOriginOptions {
  readonly kind: 'file'
  readonly root: string
}
export interface HttpOriginOptions {
  readonly kind: 'http'
  /** Scheme, host, port and an optional path prefix. */
  readonly url: string
  /** Added to each request; may hold secrets, so never logged. */
  readonly headers: Readonly<Record<string, string>>
  readonly timeouts: { readonly connectMs: number; readonly responseMs: number }
}
export interface GroupOriginOptions {
  readonly kind: 'group'
  readonly members: readonly string[]
  readonly balance: 'round-robin' | 'first'
  /** Statuses that make a GET, HEAD or OPTIONS go to the next member. */
  readonly failOn: readonly number[]
  readonly health: { readonly path: string; readonly intervalMs: number } | undefined
}
export type OriginOptions =
  | S3OriginOptions
  | FileOriginOptions
  | HttpOriginOptions
  | GroupOriginOptions
