import { ApiError, call, type Overview, type Recording } from './api.ts'
import { button, byId, h, renderOnce, table } from './dom.ts'
import { bytes, dateTime, duration, reachable } from './format.ts'

const SHOWN = 50
const CLIP_SECONDS = 30

let http: string | undefined

/** Where the links of the table lead. */
export function showRecordings({ health }: Overview): void {
  const listener = health.listeners['http'] ?? health.listeners['https']
  http = listener && reachable(listener)
}

/** Recordings and clips, the newest first; nothing where nothing was ever recorded, and in an edge. */
export async function refreshRecordings(): Promise<void> {
  const all = await list()
  byId('recordings-card').hidden = all.length === 0
  const shown = all.slice(0, SHOWN)
  // A length that grows would make the table anew each time.
  const key = shown.map((one) => ({ ...one, seconds: Math.floor(one.seconds / 10) }))
  renderOnce(byId('recordings'), [http, key], () => [
    table(['Stream', 'From', 'Length', 'Size', '', ''], shown.map(rowOf)),
  ])
}

async function list(): Promise<readonly Recording[]> {
  try {
    const { recordings, clips } = await call<{
      readonly recordings: readonly Recording[]
      readonly clips: readonly Recording[]
    }>('GET', '/recordings')
    return [...recordings, ...clips].sort((a, b) => b.from - a.from)
  } catch (error) {
    if (error instanceof ApiError && error.code === 'not-found') return []
    throw error
  }
}

function rowOf(one: Recording) {
  const running = one.state === 'recording'
  const complete = one.state === 'complete'
  return [
    one.of === undefined ? one.stream : `${one.stream}, clip`,
    dateTime(one.from),
    duration(one.seconds),
    bytes(one.bytes),
    h('span', { class: complete ? 'tag good' : 'tag', title: detailOf(one) }, stateOf(one)),
    h(
      'div',
      { class: 'actions' },
      http !== undefined &&
        h(
          'a',
          {
            class: 'button',
            href: `${http}/watch/vod/${one.key}`,
            target: '_blank',
            rel: 'noopener',
          },
          'Watch',
        ),
      running && button(`Clip the last ${CLIP_SECONDS} s`, '', () => act(clip(one.stream))),
      complete &&
        button('Remove', 'danger', () => {
          if (confirm(`Remove ${one.key} for good?`)) act(remove(one))
        }),
    ),
  ]
}

function stateOf({ state, storeFails }: Recording): string {
  return storeFails ? 'waits for its store' : state
}

function detailOf({ key, missingSegments, waitingBytes }: Recording): string {
  const waiting = waitingBytes > 0 ? `, ${bytes(waitingBytes)} on this machine’s disk` : ''
  return `${key}${missingSegments > 0 ? `, ${missingSegments} segments are missing` : ''}${waiting}`
}

function clip(stream: string): Promise<unknown> {
  return call('POST', `/streams/${encodeURIComponent(stream)}/clips`, { from: -CLIP_SECONDS })
}

function remove({ of, stream, id }: Recording): Promise<unknown> {
  const path = of === undefined ? `/recordings/${stream}/${id}` : `/streams/${stream}/clips/${id}`
  return call('DELETE', path)
}

function act(work: Promise<unknown>): void {
  work.then(refreshRecordings).catch((thrown: Error) => alert(thrown.message))
}
