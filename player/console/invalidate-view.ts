import { ApiError, call, type Distribution, type Invalidation } from './api.ts'
import { byId, h, renderOnce, table } from './dom.ts'
import { dateTime } from './format.ts'

const SHOWN = 6
const choice = h(
  'select',
  { 'aria-label': 'Distribution' },
  h('option', { value: '*' }, 'All distributions'),
)
const paths = h('textarea', { id: 'paths', placeholder: '/index.html\n/images/*', rows: '3' })
const error = h('p', { class: 'error', role: 'alert' })
const list = h('div', { class: 'scroll' })

/** Paths to take out of every cache. */
export function openInvalidate(): void {
  const form = h(
    'form',
    {},
    h(
      'div',
      { class: 'field' },
      h('label', { for: 'paths' }, 'Paths, one a line; * at the end means all below'),
      paths,
    ),
    h('div', { class: 'row' }, choice, h('button', { class: 'go', type: 'submit' }, 'Invalidate')),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    void invalidate()
  })
  byId('invalidate').append(form, error, list)
}

export function offerDistributions(distributions: readonly Distribution[]): void {
  const ids = distributions.filter(({ kind }) => kind === 'web').map(({ id }) => id)
  renderOnce(choice, ids, () => [
    h('option', { value: '*' }, 'All distributions'),
    ...ids.map((id) => h('option', { value: id }, id)),
  ])
}

export async function refreshInvalidations(): Promise<void> {
  const { invalidations } = await call<{ invalidations: readonly Invalidation[] }>(
    'GET',
    '/invalidations',
  )
  const shown = invalidations.slice(0, SHOWN)
  renderOnce(list, shown, () =>
    shown.length === 0
      ? []
      : [
          table(
            ['Paths', 'When', ''],
            shown.map((one) => [
              h('code', {}, pathsOf(one)),
              dateTime(one.createdAt),
              h(
                'span',
                { class: one.status === 'completed' ? 'tag good' : 'tag' },
                one.status === 'completed' ? 'completed' : 'in progress',
              ),
            ]),
          ),
        ],
  )
}

function pathsOf({ paths: all }: Invalidation): string {
  const [first = '', ...more] = all
  return more.length === 0 ? first : `${first} and ${more.length} more`
}

async function invalidate(): Promise<void> {
  const lines = paths.value
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  error.textContent = ''
  try {
    await call('POST', '/invalidations', { paths: lines, distribution: choice.value })
    paths.value = ''
    await refreshInvalidations()
  } catch (thrown) {
    error.textContent = thrown instanceof ApiError ? thrown.message : String(thrown)
  }
}
