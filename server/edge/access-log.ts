import { appendFile, stat } from 'node:fs/promises'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { AccessRecord } from './access-record.ts'

export interface AccessLog {
  write(record: AccessRecord): void
  /** Everything written so far is in the file. */
  close(): Promise<void>
}

const FLUSH_MS = 500
const CHUNK_BYTES = 256 * 1024
/** Waiting for a disk; what comes beyond is counted and not kept. */
const CHUNKS_MAX = 64

// CloudFront's standard log, in its order.
const FIELDS =
  'date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end'
const HEADER = `#Version: 1.0\n#Fields: ${FIELDS}\n`

/**
 * Appends a line for each request in the form of CloudFront's standard log: tab-separated, `-` for what is empty or not known here. The
 * file is opened for each batch, so that it may be moved away at any time; a disk that does not keep up costs lines, never memory.
 */
export function openAccessLog(
  file: string,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): AccessLog {
  // Lines are ASCII: written at once where they wait, they leave nothing to collect.
  let chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let used = 0
  const full: Buffer[] = []
  let lost = 0
  let writing: Promise<void> | undefined
  let failed = false

  const take = () => {
    if (used > 0) full.push(chunk.subarray(0, used))
    chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    used = 0
  }
  const flush = async (): Promise<void> => {
    take()
    const chunks = full.splice(0)
    try {
      if (await isNew(file)) chunks.unshift(Buffer.from(HEADER))
      await appendFile(file, Buffer.concat(chunks))
      failed = false
    } catch (error) {
      lost += chunks.reduce((sum, bytes) => sum + countLines(bytes), 0)
      if (!failed) log.error('the access log cannot be written', { error: describeError(error) })
      failed = true
    }
    if (lost === 0 || failed) return
    log.warn('access log lines were lost', { lines: lost })
    lost = 0
  }
  const start = () => {
    if (writing || (used === 0 && full.length === 0)) return
    writing = flush().finally(() => {
      writing = undefined
      if (full.length > 0) start()
    })
  }
  const ticking = clock.every(FLUSH_MS, start)

  return {
    write(record) {
      const line = formatRecord(record)
      if (used + line.length > CHUNK_BYTES) {
        if (full.length >= CHUNKS_MAX || line.length > CHUNK_BYTES) {
          lost += 1
          return
        }
        take()
        start()
      }
      used += chunk.write(line, used, 'latin1')
    },
    async close() {
      ticking[Symbol.dispose]()
      await writing
      start()
      await writing
    },
  }
}

function countLines(bytes: Uint8Array): number {
  let lines = 0
  for (const byte of bytes) if (byte === 10) lines += 1
  return lines
}

async function isNew(file: string): Promise<boolean> {
  const facts = await stat(file).catch(() => undefined)
  return facts === undefined || facts.size === 0
}

/** One line with its end. */
export function formatRecord(record: AccessRecord): string {
  const { before, between, after } = restOf(record)
  return `${dateAndTime(record.at)}${before}${shown(record.address)}${between}${record.requestId}${after}`
}

/** All of a line but time, address and id. */
interface Rest {
  readonly of: AccessRecord
  readonly before: string
  readonly between: string
  readonly after: string
}

/** What is asked for again makes the same line but for those three; kept by target, so many, none of a longer target than that. */
const RESTS_MAX = 1024
const KEPT_TARGET_MAX = 1024
const rests = new Map<string, Rest>()

function restOf(record: AccessRecord): Rest {
  const { target } = record
  const kept = rests.get(target)
  if (kept && hasSameRest(kept.of, record)) return kept
  const made = writeRest(record)
  if (record.result === 'Hit' && target.length <= KEPT_TARGET_MAX) {
    if (rests.size >= RESTS_MAX) rests.clear()
    rests.set(target, made)
  }
  return made
}

function hasSameRest(a: AccessRecord, b: AccessRecord): boolean {
  return (
    a.bytes === b.bytes &&
    a.receivedBytes === b.receivedBytes &&
    a.seconds === b.seconds &&
    a.status === b.status &&
    a.host === b.host &&
    a.userAgent === b.userAgent &&
    a.referer === b.referer &&
    a.range === b.range &&
    a.method === b.method &&
    a.result === b.result &&
    a.complete === b.complete &&
    a.protocol === b.protocol &&
    a.edge === b.edge
  )
}

function writeRest(record: AccessRecord): Rest {
  const { target, range, result } = record
  const mark = target.indexOf('?')
  const stem = mark < 0 ? target : target.slice(0, mark)
  const query = mark < 0 ? '' : target.slice(mark + 1)
  const [from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(range)?.slice(1) ?? []
  const detailed = record.complete ? result : 'ClientCommError'
  const host = shown(record.host)
  const seconds = record.seconds.toFixed(3)
  return {
    of: record,
    before: `\t${record.edge}\t${record.bytes}\t`,
    between: `\t${shown(record.method)}\t${host}\t${shown(stem)}\t${record.status}\t${shown(record.referer)}\t${shown(record.userAgent)}\t${shown(query)}\t-\t${result}\t`,
    after: `\t${host}\thttp\t${record.receivedBytes ?? '-'}\t${seconds}\t-\t-\t-\t${result}\t${record.protocol}\t-\t-\t-\t-\t${detailed}\t-\t-\t${from || '-'}\t${to || '-'}\n`,
  }
}

let second = Number.NaN
let secondText = ''

/** `2026-11-22\t23:59:59`, written once a second. */
function dateAndTime(at: number): string {
  const now = Math.floor(at / 1000)
  if (now === second) return secondText
  const iso = new Date(now * 1000).toISOString()
  second = now
  secondText = `${iso.slice(0, 10)}\t${iso.slice(11, 19)}`
  return secondText
}

// CloudFront encodes these, and all that would break a line or a terminal.
const ENCODED = /[^!$&()*+,\-./0-9:;=?@A-Z_a-z]/
const EACH = /[^!$&()*+,\-./0-9:;=?@A-Z_a-z]/gu

function shown(text: string): string {
  if (text === '') return '-'
  if (!ENCODED.test(text)) return text
  return text.replaceAll(EACH, (character) =>
    Array.from(
      Buffer.from(character, 'utf8'),
      (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    ).join(''),
  )
}
