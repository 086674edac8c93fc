import { type ReadMedia, readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { type Clock, systemClock } from '../../server/lib/clock.ts'
import {
  mediaAnswerViolations,
  playlistAnswerViolations,
  probe,
  type Tier,
  tierViolations,
} from './hls-answers.ts'
import { changeViolations, deltaViolations, violationsOf } from './hls-conformance.ts'

/** An answer with its coding undone. */
export interface Got {
  readonly status: number
  header(name: string): string | undefined
  readonly body: Buffer
}

export interface FollowOptions {
  /** Of the multivariant playlist. */
  readonly url: string
  /** Ends when each rendition has had so many new parts. */
  readonly parts: number
  readonly tier: Tier
  readonly get?: ((url: string) => Promise<Got>) | undefined
  readonly clock?: Clock | undefined
}

/** What a strict client saw of a running stream. */
export interface Followed {
  /** What of rfc8216bis-22 the stream broke, each with rendition and section; empty when it is right. */
  readonly violations: readonly string[]
  readonly renditions: readonly string[]
  readonly playlists: number
  readonly deltas: number
  /** Of them those that skip date ranges. */
  readonly rangeDeltas: number
  readonly parts: number
  readonly segments: number
  /** Hinted parts that came, and those that another part took the place of (§6.2.6). */
  readonly hints: number
  readonly abandoned: number
  readonly reports: number
  /** Between two parts of one rendition. */
  readonly longestWaitMs: number
}

/** Numbers that all renditions of a stream add to. */
class Sums {
  readonly violations = new Set<string>()
  readonly get: (url: string) => Promise<Got>
  readonly clock: Clock
  playlists = 0
  deltas = 0
  rangeDeltas = 0
  parts = 0
  segments = 0
  hints = 0
  abandoned = 0
  reports = 0
  longestWaitMs = 0

  constructor(options: FollowOptions) {
    const get = options.get ?? getOverHttp
    this.get = async (url) => {
      const got = await get(url)
      if (got.status === 200)
        for (const wrong of tierViolations(got, options.tier)) this.violations.add(wrong)
      return got
    }
    this.clock = options.clock ?? systemClock
  }
}

/** Plays every rendition of a running stream as a strict low-latency client would, at the same time, and checks what comes. */
export async function followStream(options: FollowOptions): Promise<Followed> {
  const sums = new Sums(options)
  const answer = await sums.get(options.url)
  if (answer.status !== 200) throw new Error(`${options.url}: ${answer.status}`)
  const main = readPlaylist(answer.body.toString())
  if (main.kind !== 'multivariant') throw new Error(`${options.url} is no multivariant playlist`)
  const audio = main.media.flatMap((media) => media['URI'] ?? [])
  const uris = [...new Set([...main.variants.map((variant) => variant.uri), ...audio])]
  for (const wrong of playlistAnswerViolations(answer, undefined)) sums.violations.add(wrong)
  await Promise.all(
    uris.map((uri) => new Follower(sums, options.url, uri, uris).follow(options.parts)),
  )
  const { playlists, deltas, rangeDeltas, parts, segments, hints, abandoned, reports } = sums
  const { longestWaitMs } = sums
  const seen = { playlists, deltas, rangeDeltas, parts, segments, hints, abandoned, reports }
  const counts = { ...seen, longestWaitMs }
  return { ...counts, violations: [...sums.violations], renditions: uris }
}

class Follower {
  readonly #sums: Sums
  readonly #base: string
  readonly #uri: string
  readonly #others: readonly string[]
  readonly #bytes = new Map<string, Buffer>()
  readonly #inits = new Set<string>()
  readonly #compared = new Set<number>()
  #unlisted: { readonly uri: string; readonly at: number }[] = []
  #target = 1

  constructor(sums: Sums, base: string, uri: string, all: readonly string[]) {
    this.#sums = sums
    this.#base = base
    this.#uri = uri
    this.#others = all.filter((other) => other !== uri)
  }

  async follow(wanted: number): Promise<void> {
    let known = await this.#load('')
    if (!known) return
    this.#target = known.targetDurationSeconds
    await this.#take(known)
    for (let parts = 0; parts < wanted && !known.endList; ) {
      const began = this.#sums.clock.monotonic()
      const next = await this.#update(known)
      if (!next) return
      const waited = this.#sums.clock.monotonic() - began
      this.#sums.longestWaitMs = Math.max(this.#sums.longestWaitMs, waited)
      const count = newParts(known, next)
      parts += count
      this.#sums.parts += count
      known = next
    }
    const wrong = await probe(known, (query) => this.#get(this.#uri + query))
    for (const one of wrong) this.#say(one)
  }

  /** One blocking reload, its delta, and the part that is hinted, all asked for before they are there. */
  async #update(known: ReadMedia): Promise<ReadMedia | undefined> {
    const next = nextOf(known)
    const query = `?_HLS_msn=${next.sequence}&_HLS_part=${next.part}`
    const skips = known.serverControl['CAN-SKIP-UNTIL'] !== undefined
    const skip = known.serverControl['CAN-SKIP-DATERANGES'] === 'YES' ? 'v2' : 'YES'
    const hint = known.preloadHints.find((one) => one['TYPE'] === 'PART')?.['URI']
    const [full, delta, hinted] = await Promise.all([
      this.#load(query),
      skips ? this.#load(`${query}&_HLS_skip=${skip}`) : undefined,
      hint === undefined ? undefined : this.#get(hint),
    ])
    if (!full) return undefined
    if (!holds(full, next)) this.#say(`§6.2.5.2 ${query} was answered without that part`)
    for (const wrong of changeViolations(known, full)) this.#say(wrong)
    if (delta) for (const wrong of deltaViolations(known, delta, full)) this.#say(wrong)
    if (delta && delta.skippedSegments > 0) this.#sums.deltas++
    if (delta?.removedDateRanges) this.#sums.rangeDeltas++
    if (delta && delta.skippedSegments > 0 && skip === 'v2' && !delta.removedDateRanges)
      this.#say('§4.4.5.2 no RECENTLY-REMOVED-DATERANGES')
    if (hint !== undefined && hinted) this.#takeHinted(hint, hinted, full)
    const came = full.segments.find(({ sequence }) => sequence === next.sequence)?.parts[next.part]
    if (hint !== undefined && came && came.uri !== hint)
      this.#say(`§4.4.5.3 ${hint} was hinted and ${came.uri} came`)
    await this.#take(full)
    await this.#checkUnlisted(known, full)
    if (this.#sums.playlists % 5 === 0) await this.#followReport(full)
    return full
  }

  /** §4.4.5.3, §6.2.6: held until it is whole, or not found when another part came. */
  #takeHinted(uri: string, got: Got, playlist: ReadMedia): void {
    const came = playlist.segments.some(({ parts }) => parts.some((part) => part.uri === uri))
    if (!came) {
      this.#sums.abandoned++
      if (got.status !== 404) this.#say(`§6.2.6 an abandoned hint was answered ${got.status}`)
      return
    }
    this.#sums.hints++
    if (got.status === 200) this.#bytes.set(uri, got.body)
    else this.#say(`§6.2.6 a hinted part was answered ${got.status}`)
  }

  /** §6.2.1: what is listed can be had at once; §3.2: a segment is its parts. */
  async #take(playlist: ReadMedia): Promise<void> {
    for (const wrong of violationsOf(playlist)) this.#say(wrong)
    const reported = playlist.renditionReports.map((report) => report['URI'] ?? '')
    for (const other of this.#others)
      if (!reported.includes(other)) this.#say(`B.1 no RENDITION-REPORT of ${other}`)
    for (const { sequence, uri, gap, map, parts } of playlist.segments) {
      if (map !== undefined && !this.#inits.has(map)) await this.#takeInit(map)
      if (gap) continue
      for (const part of parts) if (!part.gap) await this.#takePart(part.uri)
      if (uri === undefined || parts.length === 0 || this.#compared.has(sequence)) continue
      this.#compared.add(sequence)
      const whole = await this.#media(uri)
      const joined = Buffer.concat(parts.map((part) => this.#bytes.get(part.uri) ?? Buffer.of()))
      if (whole && !whole.equals(joined)) this.#say(`§3.2 segment ${sequence} is not its parts`)
      this.#sums.segments++
    }
  }

  async #takeInit(uri: string): Promise<void> {
    this.#inits.add(uri)
    const bytes = await this.#media(uri)
    if (bytes && bytes.toString('latin1', 4, 8) !== 'ftyp') this.#say(`§3.1.2 ${uri} is no MAP`)
  }

  async #takePart(uri: string): Promise<void> {
    if (this.#bytes.has(uri)) return
    const bytes = await this.#media(uri)
    if (bytes) this.#bytes.set(uri, bytes)
  }

  /** §6.2.2: a part that is listed no longer can be had for three target durations more. */
  async #checkUnlisted(before: ReadMedia, after: ReadMedia): Promise<void> {
    const now = this.#sums.clock.monotonic()
    const listed = new Set(after.segments.flatMap(({ parts }) => parts.map((part) => part.uri)))
    for (const { parts } of before.segments)
      for (const { uri, gap } of parts)
        if (!gap && !listed.has(uri)) {
          this.#unlisted.push({ uri, at: now })
          this.#bytes.delete(uri)
        }
    const due = this.#unlisted.filter(({ at }) => now - at >= 2500 * this.#target)
    this.#unlisted = this.#unlisted.filter((one) => !due.includes(one))
    for (const { uri, at } of due.slice(0, 1)) {
      const { status } = await this.#get(uri)
      const ms = this.#sums.clock.monotonic() - at
      if (status !== 200 && ms < 3000 * this.#target)
        this.#say(`§6.2.2 part ${uri} is ${status} ${Math.round(ms)} ms after it was unlisted`)
    }
  }

  /** §4.4.5.4, §6.2.1: what a report names is there, and all renditions end within a part target of each other. */
  async #followReport(playlist: ReadMedia): Promise<void> {
    for (const report of playlist.renditionReports) {
      const { URI: uri = '', 'LAST-MSN': msn = '', 'LAST-PART': part } = report
      if (Number(msn) < (playlist.segments.at(-1)?.sequence ?? 0) - 1)
        this.#say(`§4.4.5.4 ${uri} is reported at segment ${msn}`)
      const query = part === undefined ? `?_HLS_msn=${msn}` : `?_HLS_msn=${msn}&_HLS_part=${part}`
      const other = await this.#load(query, uri)
      if (!other) continue
      this.#sums.reports++
      const named = { sequence: Number(msn), part: Number(part ?? 0) }
      if (!holds(other, named)) this.#say(`§4.4.5.4 ${uri} does not hold what was reported`)
      const behind = endOf(playlist) - endOf(other)
      if (behind > 1000 * (playlist.partTargetSeconds ?? 0) + 25)
        this.#say(`§6.2.1 ${uri} is ${Math.round(behind)} ms behind`)
    }
  }

  async #load(query: string, uri = this.#uri): Promise<ReadMedia | undefined> {
    const got = await this.#get(uri + query)
    if (got.status !== 200) {
      this.#say(`§6.2.5 ${query === '' ? 'the playlist' : query} was answered ${got.status}`)
      return undefined
    }
    this.#sums.playlists++
    const playlist = readPlaylist(got.body.toString())
    if (playlist.kind !== 'media') throw new Error(`${uri} is no media playlist`)
    const asked = { target: playlist.targetDurationSeconds, blocking: query !== '' }
    for (const wrong of playlistAnswerViolations(got, asked)) this.#say(wrong)
    return playlist
  }

  async #media(uri: string): Promise<Buffer | undefined> {
    const got = await this.#get(uri)
    if (got.status !== 200) {
      this.#say(`§6.2.1 ${uri} is listed and was answered ${got.status}`)
      return undefined
    }
    for (const wrong of mediaAnswerViolations(got, this.#target)) this.#say(wrong)
    return got.body
  }

  #get(uri: string): Promise<Got> {
    return this.#sums.get(new URL(uri, this.#base).href)
  }

  #say(wrong: string): void {
    this.#sums.violations.add(`${this.#uri} ${wrong}`)
  }
}

interface Place {
  readonly sequence: number
  readonly part: number
}

/** Where the part after the last one will be. */
export function nextOf({ mediaSequence, segments }: ReadMedia): Place {
  const last = segments.at(-1)
  if (!last) return { sequence: mediaSequence, part: 0 }
  return last.uri === undefined
    ? { sequence: last.sequence, part: last.parts.length }
    : { sequence: last.sequence + 1, part: 0 }
}

/** That part, or a later one. */
function holds(playlist: ReadMedia, { sequence, part }: Place): boolean {
  const next = nextOf(playlist)
  return next.sequence > sequence || (next.sequence === sequence && next.part > part)
}

function newParts(before: ReadMedia, after: ReadMedia): number {
  const known = new Set(before.segments.flatMap(({ parts }) => parts.map(({ uri }) => uri)))
  return after.segments.flatMap(({ parts }) => parts).filter(({ uri }) => !known.has(uri)).length
}

/** Milliseconds since 1970 at which a playlist's media ends. */
function endOf({ segments }: ReadMedia): number {
  const last = segments.at(-1)
  return (last?.startedAt ?? 0) + (last?.durationSeconds ?? 0) * 1000
}

async function getOverHttp(url: string): Promise<Got> {
  const response = await fetch(url, { headers: { 'accept-encoding': 'gzip' } })
  return {
    status: response.status,
    header: (name) => response.headers.get(name) ?? undefined,
    body: Buffer.from(await response.arrayBuffer()),
  }
}
