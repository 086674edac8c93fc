import type { ReadMedia } from '../../server/formats/m3u8/read-playlist.ts'
import type { Got } from './hls-follow.ts'

/** Where answers come from: the origin's function, its HTTP face, or a place that may have kept them. */
export type Tier = 'function' | 'origin' | 'cache'

/** What of rfc8216bis-22 the fields around a playlist break; `asked` undefined: of a multivariant one. */
export function playlistAnswerViolations(
  got: Got,
  asked: { readonly target: number; readonly blocking: boolean } | undefined,
): readonly string[] {
  const wrong: string[] = []
  const type = got.header('content-type') ?? 'none'
  if (type !== 'application/vnd.apple.mpegurl') wrong.push(`§4 a playlist of type ${type}`)
  if (got.header('content-encoding') !== 'gzip') wrong.push('B.1 a playlist that is not gzipped')
  if (!/accept-encoding/i.test(got.header('vary') ?? ''))
    wrong.push('RFC 9110 §12.5.5 no Vary: Accept-Encoding')
  const seconds = maxAge(got)
  if (asked?.blocking && seconds !== 6 * asked.target)
    wrong.push(`B.1 a blocking playlist with max-age ${seconds}`)
  if (asked && !asked.blocking && (seconds === undefined || seconds > asked.target / 2))
    wrong.push(`B.1 a playlist with max-age ${seconds}`)
  return wrong
}

/** The same for a segment, a part or an init section. */
export function mediaAnswerViolations(got: Got, target: number): readonly string[] {
  const wrong: string[] = []
  const type = got.header('content-type') ?? 'none'
  if (!/^(video|audio)\/mp4$/.test(type)) wrong.push(`media of type ${type}`)
  if ((maxAge(got) ?? 0) < 6 * target) wrong.push(`B.1 media with max-age ${maxAge(got)}`)
  if (Number(got.header('content-length') ?? got.body.length) !== got.body.length)
    wrong.push('RFC 9110 §8.6 another Content-Length')
  return wrong
}

/** Appendix C: a client reckons with Age, which an origin never says, and pages of other origins must be able to read it. */
export function tierViolations(got: Got, tier: Tier): readonly string[] {
  const wrong: string[] = []
  const age = got.header('age')
  if (tier !== 'cache' && age !== undefined) wrong.push(`C: Age ${age} of what no cache kept`)
  if (age !== undefined && !/^\d+$/.test(age)) wrong.push(`RFC 9111 §5.1 Age ${age}`)
  if (Number(age ?? 0) > (maxAge(got) ?? Number.POSITIVE_INFINITY))
    wrong.push(`B.1 Age ${age} is above max-age ${maxAge(got)}`)
  if (tier === 'function') return wrong
  const exposed = got.header('access-control-expose-headers') ?? ''
  if (!/\bage\b/i.test(exposed) || !/\bdate\b/i.test(exposed))
    wrong.push('C: Age and Date are not exposed')
  if (got.header('access-control-allow-origin') === undefined)
    wrong.push('no Access-Control-Allow-Origin')
  return wrong
}

function maxAge(got: Got): number | undefined {
  const [, seconds] = /(?:^|,)\s*max-age=(\d+)/.exec(got.header('cache-control') ?? '') ?? []
  return seconds === undefined ? undefined : Number(seconds)
}

/** Asks what must not be answered with a playlist, or at once; the playlist may have grown by a segment meanwhile. */
export async function probe(
  { mediaSequence, segments, partTargetSeconds = 1 }: ReadMedia,
  get: (query: string) => Promise<Got>,
): Promise<readonly string[]> {
  const wrong: string[] = []
  const last = segments.at(-1)?.sequence ?? 0
  const limit = partTargetSeconds < 1 ? 3 / partTargetSeconds : 3
  const far = Math.ceil(limit) + (segments.at(-1)?.parts.length ?? 0)
  const asked: readonly (readonly [query: string, status: number, section: string])[] = [
    ['?_HLS_part=1', 400, '§6.2.5.2 _HLS_part alone'],
    ['?_HLS_msn=x', 400, '§6.2.5.2 _HLS_msn=x'],
    [`?_HLS_msn=${last + 20}`, 400, '§6.2.5.2 20 segments ahead'],
    [`?_HLS_msn=${last + 1}&_HLS_part=${far + 1000}`, 400, '§6.2.5.2 1000 parts ahead'],
    [`?_HLS_msn=${Math.max(0, mediaSequence - 1)}`, 200, '§6.2.5.2 what left the playlist'],
    [`?_HLS_msn=${Math.max(0, last - 2)}&_HLS_part=999`, 200, '§6.2.5.2 past the last part'],
  ]
  for (const [query, status, what] of asked) {
    const got = await get(query)
    if (got.status !== status) wrong.push(`${what} was answered ${got.status}`)
  }
  return wrong
}
