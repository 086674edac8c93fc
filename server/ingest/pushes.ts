import { readFile, rename, writeFile } from 'node:fs/promises'
import type { Clock } from '../lib/clock.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { isOwnAddress } from '../lib/own-address.ts'
import { type Random, readableToken } from '../lib/random.ts'
import type { StreamRegistry } from '../stream/registry.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import { type PushAddress, PushSession } from './push-session.ts'

/** `idle`: nobody publishes the stream; `backing-off`: the target failed, and is tried again. */
export type PushState = 'idle' | 'connecting' | 'publishing' | 'backing-off'

/** A target as the API shows it; never with its key. */
export interface PushReport {
  readonly id: string
  readonly stream: string
  readonly url: string
  readonly state: PushState
  /** Milliseconds since 1970. */
  readonly since: number
  /** Why the last attempt ended; undefined while all is well. */
  readonly trouble: string | undefined
  /** Failed attempts since it last published. */
  readonly failures: number
  /** Of the attempt that runs. */
  readonly bytesSent: number
  readonly droppedFrames: number
}

export interface PushesDeps {
  readonly registry: StreamRegistry
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Where targets are kept, keys and all (mode 600). */
  readonly file: string
  /** Where this server listens: a stream sent there would come in again. */
  readonly ownPorts: () => ReadonlySet<number>
}

export interface Pushes {
  list(stream: string): readonly PushReport[]
  /** Throws `bad-request` for an address that is none or this server's own, `conflict` for one that is there, `limit-exceeded` past 16 a stream. */
  add(stream: string, address: PushAddress): Promise<PushReport>
  /** Throws `not-found`. */
  remove(stream: string, id: string): Promise<void>
  close(): void
}

const LOOP = 'the stream would come in again'
const TARGETS_MAX = 16
const ALL_TARGETS_MAX = 256
const RETRY_MIN_MS = 1000
const RETRY_MAX_MS = 30_000
/** A target that took the stream for so long is tried again at once when it fails. */
const HELD_MS = 30_000

interface Kept extends PushAddress {
  readonly id: string
  readonly stream: string
}

/** Sends streams on to other RTMP servers while they are live, each target on its own, again and again when it fails. */
export async function openPushes(deps: PushesDeps): Promise<Pushes> {
  const { registry, random, log, file } = deps
  const targets = new Map<string, Target>()
  for (const kept of await readKept(file, log)) targets.set(kept.id, new Target(kept, deps))
  const observing = registry.observe((stream) => {
    for (const target of targets.values())
      if (target.kept.stream === stream.name) target.begin(stream)
  })
  let saving: Promise<void> = Promise.resolve()
  const save = () => {
    const all = JSON.stringify([...targets.values()].map(({ kept }) => kept))
    saving = saving.catch(() => {}).then(() => writeKept(file, all))
    return saving
  }
  const of = (stream: string) => [...targets.values()].filter(({ kept }) => kept.stream === stream)
  return {
    list: (stream) => of(stream).map((target) => target.report()),
    add: async (stream, { url, key }) => {
      checkAddress(url)
      // A name that leads nowhere yet is looked up again with each attempt.
      if (await isOwnAddress(url, deps.ownPorts()).catch(() => false))
        throw new NearcastError('bad-request', `url: ${url} is this server itself: ${LOOP}`)
      const there = of(stream)
      if (there.some(({ kept }) => kept.url === url && kept.key === key))
        throw new NearcastError('conflict', `${stream} is sent to ${url} with this key already`)
      if (there.length >= TARGETS_MAX || targets.size >= ALL_TARGETS_MAX)
        throw new NearcastError('limit-exceeded', `${there.length} targets of ${stream} are there`)
      const kept = { id: readableToken(random, 8), stream, url, key }
      const target = new Target(kept, deps)
      targets.set(kept.id, target)
      await save()
      log.info('push target added', { stream, target: kept.id, url })
      const live = registry.get(stream)
      if (live) target.begin(live)
      return target.report()
    },
    remove: async (stream, id) => {
      const target = targets.get(id)
      if (target?.kept.stream !== stream)
        throw new NearcastError('not-found', `${stream} has no push target ${id}`)
      targets.delete(id)
      target.stop()
      await save()
      log.info('push target removed', { stream, target: id })
    },
    close: () => {
      observing[Symbol.dispose]()
      for (const target of targets.values()) target.stop()
    },
  }
}

/** One place a stream is sent to, over all attempts. */
class Target {
  readonly kept: Kept
  readonly #deps: PushesDeps
  #state: PushState = 'idle'
  #since: number
  #trouble: string | undefined
  #failures = 0
  #session: PushSession | undefined
  #retry: Disposable | undefined
  #attempt = 0
  #stopped = false

  constructor(kept: Kept, deps: PushesDeps) {
    this.kept = kept
    this.#deps = deps
    this.#since = deps.clock.now()
  }

  report(): PushReport {
    const { id, stream, url } = this.kept
    return {
      id,
      stream,
      url,
      state: this.#state,
      since: this.#since,
      trouble: this.#trouble,
      failures: this.#failures,
      bytesSent: this.#session?.bytesSent ?? 0,
      droppedFrames: this.#session?.droppedFrames ?? 0,
    }
  }

  /** A new publish of the stream. */
  begin(stream: LiveStream): void {
    if (this.#stopped) return
    this.#retry?.[Symbol.dispose]()
    const former = this.#session
    this.#session = undefined
    former?.close()
    void this.#connect(stream)
  }

  stop(): void {
    this.#stopped = true
    this.#attempt++
    this.#retry?.[Symbol.dispose]()
    this.#session?.close()
    this.#session = undefined
  }

  async #connect(stream: LiveStream): Promise<void> {
    const attempt = ++this.#attempt
    this.#become('connecting')
    const trouble = await isOwnAddress(this.kept.url, this.#deps.ownPorts()).then(
      (own) => (own ? 'the address is one of this server’s own' : undefined),
      describeError,
    )
    if (attempt !== this.#attempt) return
    if (trouble !== undefined || stream.ended) {
      this.#over(stream, trouble ?? 'the stream ended', false)
      return
    }
    const session: PushSession = new PushSession(stream, this.kept, this.#deps.clock, {
      onPublishing: () => {
        this.#trouble = undefined
        this.#become('publishing')
      },
      onClosed: (reason, finished) => {
        if (this.#session !== session) return
        this.#session = undefined
        this.#over(stream, reason, finished)
      },
    })
    this.#session = session
  }

  #over(stream: LiveStream, reason: string, finished: boolean): void {
    if (finished || stream.ended) {
      this.#become('idle')
      return
    }
    const heldMs = this.#state === 'publishing' ? this.#deps.clock.now() - this.#since : 0
    this.#failures = heldMs >= HELD_MS ? 1 : this.#failures + 1
    this.#trouble = reason
    this.#become('backing-off')
    const ms = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (this.#failures - 1))
    this.#retry = this.#deps.clock.after(ms, () => {
      if (stream.ended) this.#become('idle')
      else void this.#connect(stream)
    })
  }

  #become(state: PushState): void {
    const from = this.#state
    this.#state = state
    this.#since = this.#deps.clock.now()
    const { id, stream, url } = this.kept
    const level = state === 'backing-off' && this.#failures === 1 ? 'warn' : 'info'
    this.#deps.log[level]('push target', {
      stream,
      target: id,
      url,
      state,
      from,
      reason: this.#trouble,
    })
  }
}

function checkAddress(url: string): void {
  const known = URL.canParse(url) ? new URL(url) : undefined
  const right = known && /^rtmps?:$/.test(known.protocol) && known.hostname !== ''
  if (!right || known.pathname.length < 2)
    throw new NearcastError('bad-request', 'url: needs rtmp://HOST/APP or rtmps://HOST/APP')
  if (known.username !== '' || known.password !== '')
    throw new NearcastError('bad-request', 'url: what is secret goes into key')
}

/** A file that cannot be read is left alone until the next change. */
async function readKept(file: string, log: Log): Promise<readonly Kept[]> {
  try {
    const all: unknown = JSON.parse(await readFile(file, 'utf8'))
    return Array.isArray(all) ? all.filter(isKept).slice(0, ALL_TARGETS_MAX) : []
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!missing) log.error('push targets cannot be read', { file, error: describeError(error) })
    return []
  }
}

function isKept(value: unknown): value is Kept {
  if (typeof value !== 'object' || value === null) return false
  const fields = ['id', 'stream', 'url', 'key']
  const entries = new Map<string, unknown>(Object.entries(value))
  if (!fields.every((name) => typeof entries.get(name) === 'string')) return false
  return URL.canParse(String(entries.get('url')))
}

async function writeKept(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o600 })
  await rename(`${file}.new`, file)
}
