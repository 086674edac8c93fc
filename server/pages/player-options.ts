/** What an embed or watch address may ask of the player, `?autoplay&muted&loop&t=1m30s&accent=ff5a3c`. */
export interface PlayerOptions {
  readonly autoplay: 'no' | 'yes' | 'muted'
  readonly muted: boolean
  readonly loop: boolean
  /** As given, checked: `90`, `90s`, `1m30s`. */
  readonly start: string | undefined
  /** CSS hex colour. */
  readonly accent: string | undefined
}

/** Reads the options; unknown names and unusable values are passed over. */
export function readPlayerOptions(
  query: string,
  autoplay: PlayerOptions['autoplay'],
): PlayerOptions {
  const params = new URLSearchParams(query)
  const start = params.get('t') ?? params.get('start')
  const accent = params.get('accent')?.replace(/^#/, '')
  return {
    autoplay: readAutoplay(params, autoplay),
    muted: isOn(params, 'muted'),
    loop: isOn(params, 'loop'),
    start: start !== null && /^[0-9hms.]{1,16}$/.test(start) ? start : undefined,
    accent: accent && /^(?:[0-9a-f]{3}|[0-9a-f]{6})$/i.test(accent) ? `#${accent}` : undefined,
  }
}

function readAutoplay(params: URLSearchParams, otherwise: PlayerOptions['autoplay']) {
  if (!params.has('autoplay')) return otherwise
  if (params.get('autoplay') === 'muted') return 'muted'
  return isOn(params, 'autoplay') ? 'yes' : 'no'
}

/** Present is on, unless it says otherwise. */
function isOn(params: URLSearchParams, name: string): boolean {
  const value = params.get(name)
  return value !== null && value !== '0' && value !== 'false'
}
