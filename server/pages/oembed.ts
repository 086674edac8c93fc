import { embedCode } from './write-page.ts'
import { readPageAddress, titleOf } from './page-address.ts'

export type OembedResult =
  | { readonly kind: 'found'; readonly body: string }
  /** `url` is required (oEmbed 1.0 §2.2): without it nothing was asked for that could be missing (RFC 9110 §15.5.1). */
  | { readonly kind: 'bad-request'; readonly sentence: string }
  /** No page of this server: 404 (oEmbed 1.0 §2.3.5). */
  | { readonly kind: 'not-found' }
  /** Another format than JSON was asked for: 501 (oEmbed 1.0 §2.3.5). */
  | { readonly kind: 'not-implemented' }

const WIDTH = 1280
const HEIGHT = 720
/** oEmbed 1.0 `video` for `?url=` of a watch or embed page on `base`, within maxwidth and maxheight. */
export function answerOembed(query: string, base: string, version: string): OembedResult {
  const params = new URLSearchParams(query)
  if ((params.get('format') ?? 'json') !== 'json') return { kind: 'not-implemented' }
  const asked = params.get('url') ?? ''
  if (asked === '')
    return {
      kind: 'bad-request',
      sentence: 'oembed needs the address of a watch page: /oembed?url=http://HOST/watch/live/NAME',
    }
  const url = readUrl(asked)
  const address =
    url && base !== '' && url.host === new URL(base).host && readPageAddress(url.pathname)
  if (!address) return { kind: 'not-found' }
  const width = fit(params.get('maxwidth'), params.get('maxheight'))
  const height = Math.round((width * HEIGHT) / WIDTH)
  const body = {
    version: '1.0',
    type: 'video',
    provider_name: 'Nearcast',
    provider_url: `${base}/`,
    provider_version: version,
    title: titleOf(address.target),
    width,
    height,
    html: embedCode(base, address.target, width, height),
  }
  return { kind: 'found', body: JSON.stringify(body) }
}

function fit(maxWidth: string | null, maxHeight: string | null): number {
  const wide = limit(maxWidth, WIDTH)
  const high = limit(maxHeight, HEIGHT)
  // oEmbed 1.0 §2.3.4.2: both must be obeyed, however small.
  return Math.min(WIDTH, wide, Math.floor((high * WIDTH) / HEIGHT))
}

function limit(value: string | null, otherwise: number): number {
  return value !== null && /^[1-9][0-9]{0,4}$/.test(value) ? Number(value) : otherwise
}

function readUrl(value: string): URL | undefined {
  try {
    const url = new URL(value)
    return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined
  } catch {
    return undefined
  }
}
