import type { Attributes, ReadMedia, ReadSegment } from '../../server/formats/m3u8/read-playlist.ts'

/** Durations are written with five decimals. */
const ROUNDING = 0.00002

/** What of rfc8216bis-22 a live low-latency media playlist breaks, each with its section; empty when it is right. */
export function violationsOf(playlist: ReadMedia): readonly string[] {
  const wrong: string[] = []
  const need = (holds: boolean, what: string) => {
    if (!holds) wrong.push(what)
  }
  const { segments, targetDurationSeconds: target, partTargetSeconds: partTarget } = playlist
  const control = playlist.serverControl
  for (const segment of segments) {
    const name = `segment ${segment.sequence}`
    need(
      Math.round(segment.durationSeconds) <= target,
      `§4.4.3.1 ${name}: ${segment.durationSeconds}`,
    )
    need(segment.map !== undefined, `§3.1.2 ${name} has no MAP`)
    need(segment.startedAt !== undefined, `B.1 ${name} has no PROGRAM-DATE-TIME`)
    if (partTarget !== undefined) wrong.push(...partViolations(segment, partTarget))
  }
  need(partTarget !== undefined, '§4.4.3.7 parts without PART-INF')
  const holdBack = Number(control['PART-HOLD-BACK'])
  need(control['CAN-BLOCK-RELOAD'] === 'YES', 'B.1 CAN-BLOCK-RELOAD')
  need(holdBack >= 3 * (partTarget ?? 0) - ROUNDING, `§4.4.3.8 PART-HOLD-BACK ${holdBack}`)
  const skip = control['CAN-SKIP-UNTIL']
  need(skip === undefined || Number(skip) >= 6 * target, `§4.4.3.8 CAN-SKIP-UNTIL ${skip}`)
  const partHints = playlist.preloadHints.filter((hint) => hint['TYPE'] === 'PART')
  need(partHints.length === (playlist.endList ? 0 : 1), `B.1 ${partHints.length} part hints`)
  // §6.2.1: no higher than needed; MAP needs 6, SKIP 9, a SKIP of date ranges 10.
  const skipsRanges = playlist.removedDateRanges !== undefined
  const version = skipsRanges ? 10 : playlist.skippedSegments > 0 ? 9 : 6
  need(playlist.version === version, `§8 version ${playlist.version}, not ${version}`)
  const whole = segments.reduce((sum, segment) => sum + segment.durationSeconds, 0)
  need(
    playlist.mediaSequence === 0 || playlist.skippedSegments > 0 || whole >= 3 * target - ROUNDING,
    `§6.2.2 a playlist of ${whole} s`,
  )
  wrong.push(...datingViolations(segments))
  wrong.push(...dateRangeViolations(playlist))
  wrong.push(...partRangeViolations(playlist))
  return wrong
}

function partViolations(segment: ReadSegment, partTarget: number): readonly string[] {
  const wrong: string[] = []
  const { parts, sequence } = segment
  parts.forEach((part, i) => {
    const name = `part ${sequence}.${i} of ${part.durationSeconds} s`
    if (part.durationSeconds > partTarget + ROUNDING) wrong.push(`§4.4.4.9 ${name} is too long`)
    const last = segment.uri !== undefined && i === parts.length - 1
    if (part.durationSeconds < 0.85 * partTarget - ROUNDING && !last && !part.independent)
      wrong.push(`§4.4.4.9 ${name} is too short`)
  })
  const sum = parts.reduce((total, part) => total + part.durationSeconds, 0)
  if (parts.length > 0 && Math.abs(sum - segment.durationSeconds) > ROUNDING * (parts.length + 1))
    wrong.push(`§4.4.4.9 segment ${sequence}: parts of ${sum} s in ${segment.durationSeconds} s`)
  return wrong
}

/** §4.4.5.1 */
function dateRangeViolations(playlist: ReadMedia): readonly string[] {
  const wrong: string[] = []
  const { dateRanges, removedDateRanges, serverControl, segments } = playlist
  const offered = serverControl['CAN-SKIP-DATERANGES']
  if (offered !== undefined && serverControl['CAN-SKIP-UNTIL'] === undefined)
    wrong.push('§4.4.3.8 CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL')
  if (removedDateRanges && offered !== 'YES')
    wrong.push('§6.2.5.1 date ranges are skipped and that is not offered')
  if (new Set(dateRanges.map(idOf)).size < dateRanges.length)
    wrong.push('§4.4.5.1 two date ranges have one ID')
  for (const range of dateRanges) {
    const name = `§4.4.5.1 date range ${range['ID']}`
    const begins = Date.parse(range['START-DATE'] ?? '')
    if ((range['ID'] ?? '') === '') wrong.push(`${name} has no ID`)
    if (Number.isNaN(begins)) wrong.push(`${name} has no START-DATE`)
    if (playlist.skippedSegments === 0 && begins < (segments[0]?.startedAt ?? 0))
      wrong.push(`${name} is before the playlist`)
    const odd = Object.keys(range).filter(
      (key) => !/^(ID|CLASS|START-DATE|DURATION|X-[A-Z0-9-]+)$/.test(key),
    )
    if (odd.length > 0) wrong.push(`${name} has ${odd.join()}`)
  }
  return wrong
}

function idOf(range: Attributes): string {
  return range['ID'] ?? ''
}

/** §4.4.4.6: dates follow the durations; a gap in them needs a discontinuity. */
function datingViolations(segments: readonly ReadSegment[]): readonly string[] {
  const wrong: string[] = []
  segments.forEach((segment, i) => {
    const former = segments[i - 1]
    if (former?.startedAt === undefined || segment.startedAt === undefined) return
    const expected = former.startedAt + former.durationSeconds * 1000
    const off = segment.startedAt - expected
    if (off < -25 || (!segment.discontinuity && off > 25))
      wrong.push(`§4.4.4.6 segment ${segment.sequence} begins ${off} ms off`)
  })
  return wrong
}

/** §6.2.2: parts are listed up to three target durations from the end, and there only. */
function partRangeViolations(playlist: ReadMedia): readonly string[] {
  const wrong: string[] = []
  let distance = 0
  for (const segment of playlist.segments.toReversed()) {
    const begins = distance + segment.durationSeconds
    const bound = 3 * playlist.targetDurationSeconds
    if (segment.parts.length > 0 && begins > bound + ROUNDING && distance > 0)
      wrong.push(`§6.2.2 parts of segment ${segment.sequence} ${begins} s from the end`)
    if (segment.parts.length === 0 && begins <= bound && !playlist.endList && !segment.gap)
      wrong.push(`§6.2.2 no parts of segment ${segment.sequence} ${begins} s from the end`)
    distance = begins
  }
  return wrong
}

/** What is wrong between two reads of one playlist (§6.2.1: only added at the end, only removed at the front). */
export function changeViolations(before: ReadMedia, after: ReadMedia): readonly string[] {
  const wrong: string[] = []
  const need = (holds: boolean, what: string) => {
    if (!holds) wrong.push(what)
  }
  need(after.targetDurationSeconds === before.targetDurationSeconds, '§4.4.3.1 the target changed')
  need(after.partTargetSeconds === before.partTargetSeconds, '§4.4.3.7 the part target changed')
  need(after.mediaSequence >= before.mediaSequence, '§4.4.3.2 the sequence went back')
  const removed = before.segments.filter((segment) => segment.sequence < after.mediaSequence)
  const discontinuities = removed.filter((segment) => segment.discontinuity).length
  need(
    after.discontinuitySequence === before.discontinuitySequence + discontinuities,
    `§4.4.3.3 discontinuity sequence ${before.discontinuitySequence}, then ${after.discontinuitySequence}`,
  )
  const now = new Map(after.segments.map((segment) => [segment.sequence, segment]))
  for (const old of before.segments) {
    const same = now.get(old.sequence)
    if (!same) continue
    const name = `§6.2.1 segment ${old.sequence}`
    need(old.uri === undefined || old.uri === same.uri, `${name} has another URI`)
    need(old.startedAt === same.startedAt, `${name} has another date`)
    need(old.discontinuity === same.discontinuity, `${name} changed its discontinuity`)
    const kept = same.parts.length === 0 ? [] : old.parts
    kept.forEach((part, i) =>
      need(part.uri === same.parts[i]?.uri, `${name} has another part ${i}`),
    )
  }
  const ranges = new Map(after.dateRanges.map((range) => [idOf(range), range]))
  for (const old of before.dateRanges) {
    const same = ranges.get(idOf(old))
    const past = Date.parse(old['START-DATE'] ?? '') < (after.segments[0]?.startedAt ?? 0)
    need(same !== undefined || past, `§4.4.5.1 date range ${idOf(old)} went before its time`)
    need(
      same === undefined || JSON.stringify(same) === JSON.stringify(old),
      `§4.4.5.1 date range ${idOf(old)} says something else`,
    )
  }
  return wrong
}

/** What is wrong with a delta update for a client that has `before`, beside the whole playlist of the same moment (§6.2.5.1). */
export function deltaViolations(
  before: ReadMedia,
  delta: ReadMedia,
  whole: ReadMedia,
): readonly string[] {
  const wrong: string[] = []
  const until = Number(whole.serverControl['CAN-SKIP-UNTIL'])
  let distance = 0
  for (const { sequence, durationSeconds } of whole.segments.toReversed()) {
    const isSkipped = sequence < delta.mediaSequence + delta.skippedSegments
    if (isSkipped && distance <= until) wrong.push(`§6.2.5.1 segment ${sequence} is skipped`)
    if (!isSkipped && distance > until && sequence >= delta.mediaSequence)
      wrong.push(`§6.2.5.1 segment ${sequence} is not skipped`)
    distance += durationSeconds
  }
  // One of the two may have been written a part later.
  if (lastOf(delta) !== lastOf(whole)) return wrong
  const skipped = before.segments.filter(
    ({ sequence }) =>
      sequence >= delta.mediaSequence && sequence < delta.mediaSequence + delta.skippedSegments,
  )
  const merged = [...skipped.map((segment) => ({ ...segment, parts: [] })), ...delta.segments]
  if (JSON.stringify(merged) !== JSON.stringify(whole.segments))
    wrong.push('§6.3.7 a delta and what was before are not the whole playlist')
  wrong.push(...rangesDeltaViolations(before, delta, whole))
  for (const key of [
    'discontinuitySequence',
    'targetDurationSeconds',
    'partTargetSeconds',
  ] as const)
    if (delta[key] !== whole[key]) wrong.push(`§6.2.5.1 another ${key} in a delta`)
  return wrong
}

/** §6.2.5.1: what a client knows by its own playlist and the update are the ranges that there are. */
function rangesDeltaViolations(
  before: ReadMedia,
  delta: ReadMedia,
  whole: ReadMedia,
): readonly string[] {
  const merged = new Set(delta.dateRanges.map(idOf))
  if (delta.removedDateRanges) {
    for (const id of before.dateRanges.map(idOf)) merged.add(id)
    for (const id of delta.removedDateRanges) merged.delete(id)
  }
  const now = whole.dateRanges.map(idOf)
  const same = merged.size === now.length && now.every((id) => merged.has(id))
  return same ? [] : [`§6.3.7 date ranges ${[...merged].join()}, and there are ${now.join()}`]
}

function lastOf({ segments }: ReadMedia): string {
  const last = segments.at(-1)
  return `${last?.uri} ${last?.parts.at(-1)?.uri}`
}
