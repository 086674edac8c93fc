const whole = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

export function count(value: number): string {
  return value < 100 ? short.format(value) : whole.format(Math.round(value))
}

export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10))
  return `${short.format(value / 1024 ** power)} ${units[power] ?? ''}`
}

export function bitsPerSecond(value: number): string {
  if (value < 1e6) return `${short.format(value / 1e3)} kb/s`
  return value < 1e9 ? `${short.format(value / 1e6)} Mb/s` : `${short.format(value / 1e9)} Gb/s`
}

export function percent(part: number, all: number): string {
  return all <= 0 ? '–' : `${((100 * part) / all).toFixed(1)} %`
}

/** `2 d 3 h`, `5 min`, `12 s`. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds))
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`
}

/** A listener's address as this page's viewer reaches it: a server that listens everywhere names itself 127.0.0.1. */
export function reachable(address: string): string {
  return address.replace('//127.0.0.1', `//${location.hostname}`)
}

export function dateTime(ms: number): string {
  return new Date(ms).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })
}
