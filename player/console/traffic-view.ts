import type { Overview, Traffic } from './api.ts'
import { byId, h } from './dom.ts'
import { bitsPerSecond, bytes, count, percent } from './format.ts'

const KEPT = 60
const SVG = 'http://www.w3.org/2000/svg'

interface Sample {
  readonly requests: number
  readonly bits: number
}

const history: Sample[] = []
let last: { readonly at: number; readonly traffic: Traffic } | undefined

/** The row of figures: rates are made of two answers, so they begin with the second. */
export function showTraffic({ at, traffic, cache, streams }: Overview): void {
  if (last && at > last.at) {
    const seconds = (at - last.at) / 1000
    history.push({
      requests: Math.max(0, traffic.requests - last.traffic.requests) / seconds,
      bits: (8 * Math.max(0, traffic.bytes - last.traffic.bytes)) / seconds,
    })
    if (history.length > KEPT) history.shift()
  }
  last = { at, traffic }
  const now = history.at(-1)
  const viewers = streams.reduce((sum, stream) => sum + (stream.viewers ?? 0), 0)
  const served = traffic.hits + traffic.misses
  const filled = cache.memoryBytes ? (cache.bytes ?? 0) / cache.memoryBytes : 0
  byId('tiles').replaceChildren(
    tile(count(streams.length), streams.length === 1 ? 'live stream' : 'live streams'),
    counted(tile(count(viewers), viewers === 1 ? 'live viewer' : 'live viewers')),
    tile(
      count(now?.requests ?? 0),
      'requests per second',
      line(history.map((sample) => sample.requests)),
    ),
    tile(bitsPerSecond(now?.bits ?? 0), 'to viewers', line(history.map((sample) => sample.bits))),
    tile(percent(traffic.hits, served), 'from the cache', bar(served ? traffic.hits / served : 0)),
    tile(bytes(cache.bytes ?? 0), `of ${bytes(cache.memoryBytes ?? 0)} cache`, bar(filled)),
  )
}

/** HLS has no sessions: what is shown is an estimate. */
function counted(of: HTMLElement): HTMLElement {
  of.title =
    'About: counted by how often players ask this server. Viewers of other edges are not in it.'
  return of
}

function tile(value: string, label: string, picture?: Element): HTMLElement {
  return h('div', { class: 'tile' }, h('b', {}, value), h('span', {}, label), picture)
}

function bar(part: number): HTMLElement {
  const fill = h('i')
  fill.style.width = `${Math.round(100 * Math.min(1, part))}%`
  return h('div', { class: 'bar' }, fill)
}

function line(values: readonly number[]): SVGElement {
  const top = Math.max(1e-9, ...values)
  const points = values.map(
    (value, index) => `${KEPT - values.length + index} ${24 - (22 * value) / top}`,
  )
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', `0 0 ${KEPT - 1} 26`)
  svg.setAttribute('preserveAspectRatio', 'none')
  svg.setAttribute('aria-hidden', 'true')
  const path = document.createElementNS(SVG, 'path')
  path.setAttribute('d', points.length < 2 ? 'M0 24H59' : `M${points.join('L')}`)
  svg.append(path)
  return svg
}
