import { call, type Overview, type Stream } from './api.ts'
import { button, byId, copyButton, h, renderOnce } from './dom.ts'
import { bitsPerSecond, count, duration, reachable } from './format.ts'
import { type HealthPart, healthPart } from './health-view.ts'

interface Card {
  readonly element: HTMLElement
  readonly facts: HTMLElement
  readonly health: HealthPart
  readonly hint: HTMLElement
}

let cards: readonly Card[] = []

export function showStreams({ streams, at, health }: Overview): void {
  const listener = health.listeners['http'] ?? health.listeners['https']
  const http = listener && reachable(listener)
  const parent = byId('streams')
  const names = streams.map((stream) => [
    stream.name,
    stream.state,
    stream.publisher,
    stream.startedAt,
    http,
  ])
  renderOnce(parent, names, () => {
    cards = streams.map((stream) => cardOf(stream, http))
    return streams.length === 0
      ? [h('p', { class: 'empty' }, 'Nobody is live. “Go live” below has what OBS needs.')]
      : cards.map(({ element }) => element)
  })
  for (const [index, stream] of streams.entries()) {
    const card = cards[index]
    if (!card) continue
    card.facts.replaceChildren(...factsOf(stream, at))
    card.health.show(stream.health)
    card.hint.textContent = hintOf(stream)
  }
}

function cardOf(stream: Stream, http: string | undefined): Card {
  const name = encodeURIComponent(stream.name)
  const facts = h('dl', { class: 'facts' })
  const health = healthPart(stream.name)
  const hint = h('p', { class: 'hint' })
  const element = h(
    'article',
    { class: 'stream', 'aria-label': stream.name },
    h(
      'header',
      {},
      h(
        'span',
        { class: stream.state === 'live' ? 'live' : 'live away' },
        stream.state.toUpperCase(),
      ),
      h('h3', {}, stream.name),
      h(
        'span',
        {},
        stream.publisher === undefined ? 'nobody publishes' : `from ${stream.publisher}`,
      ),
    ),
    h(
      'div',
      { class: 'actions' },
      http !== undefined &&
        h(
          'a',
          {
            class: 'button',
            href: `${http}/watch/live/${name}`,
            target: '_blank',
            rel: 'noopener',
          },
          'Watch',
        ),
      http !== undefined && copyButton('Copy HLS address', `${http}/live/${name}/index.m3u8`),
      button('Cut', 'danger', () => {
        if (confirm(`End ${stream.name} now? OBS will try to come back.`))
          call('DELETE', `/streams/${name}`).catch((thrown: Error) => alert(thrown.message))
      }),
    ),
    facts,
    health.element,
    hint,
  )
  return { element, facts, health, hint }
}

function factsOf(stream: Stream, at: number): HTMLElement[] {
  const { bitsPerSecond: bits, framesPerSecond: fps, keyIntervalSeconds: gop, viewers } = stream
  const facts: [string, string | undefined][] = [
    ...stream.tracks.map((track): [string, string] =>
      track.kind === 'video'
        ? ['Picture', `${track.width}×${track.height} ${track.codecString}`]
        : ['Sound', `${(track.sampleRate ?? 0) / 1000} kHz ${track.codecString}`],
    ),
    ['Bitrate', bits === undefined ? undefined : bitsPerSecond(bits)],
    ['Frames', fps === undefined ? undefined : `${count(fps)} per second`],
    ['Key frames', gop === undefined ? undefined : `every ${count(gop)} s`],
    ['On air', stream.onBackup ? 'the backup' : undefined],
    ['Standing by', stream.standingBy],
    ['Smaller pictures', rungsOf(stream)],
    ['Encoder', stream.ladder?.encoder],
    ['Viewers', viewers === undefined ? undefined : `about ${count(viewers)}`],
    ['Live for', duration((at - stream.startedAt) / 1000)],
  ]
  return facts.flatMap(([term, value]) =>
    value === undefined ? [] : [h('div', {}, h('dt', {}, term), h('dd', {}, value))],
  )
}

function rungsOf({ ladder }: Stream): string | undefined {
  if (!ladder || ladder.state === 'starting') return undefined
  const sizes = ladder.rungs.map(({ width, height }) => `${width}×${height}`)
  return sizes.length === 0 ? 'none' : sizes.join(', ')
}

/** What the health advice cannot know: it is of the publisher, this of the machine. */
function hintOf({ ladder }: Stream): string {
  if (ladder?.reason === undefined) return ''
  return `${ladder.rungs.length === 0 ? 'No' : 'Not all'} smaller pictures: ${ladder.reason}.`
}
