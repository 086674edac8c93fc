import { ApiError, call, type Distribution, type Overview } from './api.ts'
import { byId, h, renderOnce, table } from './dom.ts'
import { explainRows } from './explain-rows.ts'
import { offerDistributions } from './invalidate-view.ts'

export async function refreshDistributions(): Promise<void> {
  const { distributions } = await call<{ distributions: readonly Distribution[] }>(
    'GET',
    '/distributions',
  )
  offerDistributions(distributions)
  renderOnce(byId('distributions'), distributions, () => [
    table(
      ['Name', 'Hosts', 'Answers', ''],
      distributions.map((one) => [
        one.id,
        h('span', { class: 'tags' }, ...one.hosts.map((host) => h('code', { class: 'tag' }, host))),
        h(
          'span',
          { class: 'tags' },
          ...routesOf(one).map((text) => h('code', { class: 'tag' }, text)),
        ),
        h(
          'span',
          { class: one.enabled ? 'tag good' : 'tag off' },
          one.enabled ? 'enabled' : 'disabled',
        ),
      ]),
    ),
  ])
}

function routesOf({ behaviors, apps, origin }: Distribution): string[] {
  if (behaviors) return behaviors.map((behavior) => `${behavior.path} → ${behavior.origin}`)
  return (apps ?? []).map((app) => `rtmp …/${app} → ${origin}`)
}

export function showEdges({ edges, position }: Overview): void {
  renderOnce(byId('edges'), [edges, position], () => [
    table(
      ['Edge', 'Address', 'Changes'],
      edges.map((edge) => [
        edge.self ? `${edge.id} (this one)` : edge.id,
        edge.url ?? '–',
        progressOf(edge.seq, position.seq),
      ]),
    ),
  ])
}

function progressOf(seq: number | undefined, newest: number): HTMLElement {
  if (seq === undefined) return h('span', { class: 'tag off' }, 'unknown')
  if (seq >= newest) return h('span', { class: 'tag good' }, 'up to date')
  return h('span', { class: 'tag' }, `${newest - seq} behind`)
}

/** A URL, or the key of a stored file, and what the server says of it. */
export function openAsk(): void {
  const what = h('input', {
    id: 'what',
    placeholder: '/images/a.jpg, or intro.mp4',
    'aria-label': 'Path, address or key of a stored file',
  })
  const answer = h('div', { class: 'answer', 'aria-live': 'polite' })
  const form = h(
    'form',
    { class: 'row' },
    what,
    h('button', { class: 'go', type: 'submit' }, 'Explain'),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const text = what.value.trim()
    const path =
      text.startsWith('/') || text.includes('://')
        ? `/explain?url=${encodeURIComponent(text)}`
        : `/probe?key=${encodeURIComponent(text)}`
    void call<object>('GET', path)
      .then(
        (value) => rowsOf(value),
        (thrown: unknown) =>
          h('p', { class: 'error' }, thrown instanceof ApiError ? thrown.message : String(thrown)),
      )
      .then((said) => answer.replaceChildren(said))
  })
  byId('ask').append(
    h(
      'p',
      {},
      'A path or address shows distribution, behavior, cache key and freshness; the key of a stored file shows what is in it and how it plays.',
    ),
    form,
    answer,
  )
}

function rowsOf(value: object): HTMLElement {
  const rows = explainRows(value).map(([name, words]) =>
    h('div', {}, h('dt', {}, name), h('dd', {}, words)),
  )
  return h('dl', { class: 'rows' }, ...rows)
}
