import { call, type Overview, type Stream } from './api.ts'
import { button, byId, copyButton, h, renderOnce } from './dom.ts'
import { bitsPerSecond, count, duration, reachable } from './format.ts'

/** Above it, a viewer who joins or falls behind waits for the next key frame. */
const LONG_KEY_INTERVAL_SECONDS = 4

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
  renderOnce(parent, names, () =>
    streams.length === 0
      ? [h('p', { class: 'empty' }, 'Nobody is live. “Go live” below has what OBS needs.')]
      : streams.map((stream) => cardOf(stream, http)),
  )
  for (const [index, stream] of streams.entries()) {
    const facts = parent.children[index]?.querySelector('.facts')
    facts?.replaceChildren(...factsOf(stream, at))
    const hint = parent.children[index]?.querySelector('.hint')
    if (hint) hint.textContent = hintOf(stream)
  }
}

function cardOf(stream: Stream, http: string | undefined): HTMLElement {
  const name = encodeURIComponent(stream.name)
  return h(
    'article',
    { class: 'stream' },
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
    h('dl', { class: 'facts' }),
    h('p', { class: 'hint' }),
  )
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

function hintOf({ keyIntervalSeconds: gop, ladder }: Stream): string {
  const hints: string[] = []
  if (gop !== undefined && gop > LONG_KEY_INTERVAL_SECONDS)
    hints.push(
      `A key frame only every ${count(gop)} s: set “Keyframe Interval” to 1 s in OBS (Output, Advanced) for less delay.`,
    )
  if (ladder?.reason !== undefined)
    hints.push(
      `${ladder.rungs.length === 0 ? 'No' : 'Not all'} smaller pictures: ${ladder.reason}.`,
    )
  return hints.join(' ')
}
