import type { Health } from './api.ts'
import { h, renderOnce } from './dom.ts'
import { count } from './format.ts'

const CONDITIONS: Readonly<Record<Health['condition'], readonly [kind: string, text: string]>> = {
  good: ['tag good', 'good'],
  fair: ['tag fair', 'could be better'],
  poor: ['tag poor', 'viewers notice'],
}

/** Below it nobody notices that frames come later than they did. */
const ON_TIME_MS = 100

export interface HealthPart {
  readonly element: HTMLElement
  /** Undefined while no publisher is on air. */
  show(health: Health | undefined): void
}

/** How a publisher's frames arrive, and what would make it better: in the server's own words, as events and API have them. */
export function healthPart(stream: string): HealthPart {
  // The condition is told by a screen reader when it changes; figures move each second, and are not.
  const condition = h('p', { class: 'condition', role: 'status' })
  const measures = h('dl', { class: 'facts' })
  const advice = h('ul', { class: 'advice' })
  const label = `Health of ${stream}`
  const element = h(
    'section',
    { class: 'health', 'aria-label': label },
    condition,
    measures,
    advice,
  )
  return {
    element,
    show: (health) => {
      element.hidden = health === undefined
      if (!health) return
      const [kind, text] = CONDITIONS[health.condition]
      renderOnce(condition, health.condition, () => ['Health: ', h('span', { class: kind }, text)])
      measures.replaceChildren(
        ...measuresOf(health).map(([term, value]) =>
          h('div', {}, h('dt', {}, term), h('dd', {}, value)),
        ),
      )
      renderOnce(advice, health.advice, () =>
        health.advice.map(({ weight, sentence }) => h('li', { class: weight }, sentence)),
      )
    },
  }
}

function measuresOf(health: Health): readonly (readonly [string, string])[] {
  const { lagMs, jitterMs, gaps, missingFrames, driftMs, bFrames } = health
  const known: readonly (readonly [string, string | undefined])[] = [
    ['Frames come', lagMs === undefined ? undefined : lagOf(lagMs)],
    ['Jitter', jitterMs === undefined ? undefined : milliseconds(jitterMs)],
    [
      'Holes in a minute',
      gaps === 0 ? 'none' : `${count(gaps)}, about ${count(missingFrames)} frames`,
    ],
    ['Sound against picture', driftMs === undefined ? undefined : driftOf(driftMs)],
    ['B-frames', bFrames === undefined ? undefined : bFrames ? 'yes' : 'no'],
  ]
  return known.flatMap(([term, value]) => (value === undefined ? [] : [[term, value] as const]))
}

function lagOf(ms: number): string {
  return ms < ON_TIME_MS ? 'on time' : `${milliseconds(ms)} late`
}

function driftOf(ms: number): string {
  if (Math.abs(ms) < 1) return 'in step'
  return `${milliseconds(Math.abs(ms))} ${ms > 0 ? 'early' : 'late'}`
}

function milliseconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}
