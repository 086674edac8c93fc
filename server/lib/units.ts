const BYTES: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}
const SECONDS: Readonly<Record<string, number>> = {
  '': 1,
  ms: 0.001,
  s: 1,
  m: 60,
  min: 60,
  h: 3600,
  d: 86_400,
}
const QUANTITY = /^\s*(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]{0,3})\s*$/i

/** Bytes of `512MiB`, `10 GB` or a bare number; undefined when it is no size. */
export function parseBytes(value: string | number): number | undefined {
  const bytes = quantity(value, BYTES)
  return bytes === undefined ? undefined : Math.round(bytes)
}

/** Seconds of `10s`, `500ms`, `2h` or a bare number; undefined when it is no duration. */
export function parseSeconds(value: string | number): number | undefined {
  return quantity(value, SECONDS)
}

/** A size as people write it, exact: 536870912 is `512MiB`. */
export function formatBytes(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const size = BYTES[unit.toLowerCase()] ?? 1
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return String(bytes)
}

/** A duration as people write it, exact: 7200 is `2h`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 1) return seconds === 0 ? '0s' : `${Math.round(seconds * 1000)}ms`
  for (const unit of ['d', 'h', 'm']) {
    const size = SECONDS[unit] ?? 1
    if (seconds >= size && seconds % size === 0) return `${seconds / size}${unit}`
  }
  return `${seconds}s`
}

function quantity(
  value: string | number,
  units: Readonly<Record<string, number>>,
): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined
  const match = QUANTITY.exec(value)
  const unit = (match?.[2] ?? '').toLowerCase()
  if (!match || !Object.hasOwn(units, unit)) return undefined
  // 0.2s and 200ms are the same number.
  return Number((Number(match[1]) * (units[unit] ?? 1)).toPrecision(15))
}
