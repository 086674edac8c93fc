import { ApiError, call, type Key, type NewKey } from './api.ts'
import { button, h } from './dom.ts'
import { dateTime } from './format.ts'

/** How long the former key may hold, in seconds; in between is for the API. */
const OVERLAPS: readonly (readonly [seconds: number, text: string])[] = [
  [0, 'ends at once; who publishes with it is cut'],
  [600, 'holds for 10 minutes more'],
  [3600, 'holds for an hour more'],
  [86_400, 'holds for a day more'],
]
const USUAL_OVERLAP = '600'

/** Asks how long the former key is to hold, and makes another in its place; nothing is made when the dialog is left. */
export function askToRotate(key: Key, made: (fresh: NewKey, former: string) => void): void {
  const overlap = h(
    'select',
    { id: 'overlap' },
    ...OVERLAPS.map(([seconds, text]) => h('option', { value: String(seconds) }, text)),
  )
  overlap.value = USUAL_OVERLAP
  const error = h('p', { class: 'error', role: 'alert' })
  const form = h(
    'form',
    {},
    h('h3', { id: 'rotate-title' }, `Another key for ${key.name}`),
    h('p', {}, 'The new one is valid at once. Copy it into OBS before the former one ends.'),
    h(
      'div',
      { class: 'field' },
      h('label', { for: 'overlap' }, `The key that ends in ${key.masked.slice(-4)}`),
      overlap,
    ),
    error,
    h(
      'div',
      { class: 'row end' },
      button('Cancel', '', () => dialog.close()),
      h('button', { class: 'go', type: 'submit' }, 'Make the new key'),
    ),
  )
  const dialog = h('dialog', { 'aria-labelledby': 'rotate-title' }, form)
  dialog.addEventListener('close', () => dialog.remove())
  let asking = false
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (asking) return
    asking = true
    error.textContent = ''
    call<NewKey>('POST', `/keys/${key.id}/rotate`, { overlapSeconds: Number(overlap.value) })
      .then((fresh) => {
        dialog.close()
        made(fresh, formerOf(fresh, overlap.value === '0'))
      })
      .catch((thrown: unknown) => {
        error.textContent = thrown instanceof ApiError ? thrown.message : String(thrown)
      })
      .finally(() => {
        asking = false
      })
  })
  document.body.append(dialog)
  dialog.showModal()
}

function formerOf({ formerUntil }: NewKey, ended: boolean): string {
  return ended || formerUntil === undefined
    ? 'The former key has ended.'
    : `The former key holds until ${dateTime(formerUntil)}.`
}
