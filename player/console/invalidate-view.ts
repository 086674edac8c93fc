import {
  ApiError,
  call,
  type Distribution,
  type Invalidation,
  type InvalidationPreview,
} from './api.ts'
import { button, byId, h, renderOnce, table } from './dom.ts'
import { bytes, count, dateTime } from './format.ts'

const SHOWN = 6
const choice = h(
  'select',
  { 'aria-label': 'Distribution' },
  h('option', { value: '*' }, 'All distributions'),
)
const paths = h('textarea', {
  id: 'paths',
  placeholder: '/index.html\n/images/*\n#a-tag',
  rows: '3',
})
const soft = h('input', { type: 'checkbox' })
const preview = h('p', { role: 'status' })
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
      h(
        'label',
        { for: 'paths' },
        'Paths, one a line; * at the end means all below, #tag is a tag of the origin',
      ),
      paths,
    ),
    h(
      'label',
      { class: 'check' },
      soft,
      'Soft: what is stored becomes stale, and is asked for anew',
    ),
    h(
      'div',
      { class: 'row' },
      choice,
      button('Dry run', '', () => void attempt(dryRun)),
      h('button', { class: 'go', type: 'submit' }, 'Invalidate'),
    ),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    void attempt(invalidate)
  })
  byId('invalidate').append(form, preview, error, list)
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
            ['Paths', 'When', '', ''],
            shown.map((one) => [
              h('code', {}, pathsOf(one)),
              dateTime(one.createdAt),
              h(
                'span',
                {
                  class: one.status === 'completed' ? 'tag good' : 'tag',
                  title: one.edges.map(({ id, state }) => `${id}: ${state}`).join(', '),
                },
                statusOf(one),
              ),
              one.undoableUntil !== undefined &&
                button('Undo', '', () => void attempt(() => undo(one.id))),
            ]),
          ),
        ],
  )
}

function pathsOf({ paths: all }: Invalidation): string {
  const [first = '', ...more] = all
  return more.length === 0 ? first : `${first} and ${more.length} more`
}

function statusOf({ status, soft: wasSoft, undoneAt }: Invalidation): string {
  const said = status === 'completed' ? 'completed' : 'in progress'
  if (undoneAt !== undefined) return `undone, ${said}`
  return wasSoft ? `soft, ${said}` : said
}

function asked(): object {
  const lines = paths.value
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  return { paths: lines, distribution: choice.value, soft: soft.checked }
}

async function dryRun(): Promise<void> {
  const what = { ...asked(), dryRun: true, examples: 5 }
  const {
    objects,
    bytes: size,
    examples,
  } = await call<InvalidationPreview>('POST', '/invalidations', what)
  const named = examples.length === 0 ? '' : `: ${examples.join(', ')}`
  const more = objects > examples.length && examples.length > 0 ? ' …' : ''
  preview.textContent = `Would take ${count(objects)} objects, ${bytes(size)} at this edge${named}${more}`
}

async function invalidate(): Promise<void> {
  await call('POST', '/invalidations', asked())
  paths.value = ''
  await refreshInvalidations()
}

async function undo(id: string): Promise<void> {
  await call('POST', `/invalidations/${id}/undo`)
  await refreshInvalidations()
}

async function attempt(act: () => Promise<void>): Promise<void> {
  error.textContent = ''
  preview.textContent = ''
  try {
    await act()
  } catch (thrown) {
    error.textContent = thrown instanceof ApiError ? thrown.message : String(thrown)
  }
}
