import { ApiError, call, type Key, type NewKey, type Overview } from './api.ts'
import { button, byId, copyable, h, renderOnce, table } from './dom.ts'
import { dateTime, reachable } from './format.ts'

const rtmpField = h('div', { class: 'field' })
const fresh = h('div')
const list = h('div', { class: 'scroll' })
const error = h('p', { class: 'error', role: 'alert' })

/** What OBS needs, and the keys there are. */
export function openPublish(): void {
  const name = h('input', { id: 'key-name', placeholder: 'main', 'aria-label': 'Stream name' })
  const form = h(
    'form',
    { class: 'row' },
    name,
    h('button', { class: 'go', type: 'submit' }, 'New key'),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    void createKey(name.value.trim() || 'main')
  })
  byId('publish').append(
    h('p', {}, 'In OBS: Settings, Stream, Service “Custom…”, then these two.'),
    rtmpField,
    h('div', { class: 'field' }, h('label', { for: 'key-name' }, 'Stream key for'), form),
    error,
    fresh,
    list,
  )
  void refreshKeys()
}

export function showPublish({ health }: Overview): void {
  const rtmp = health.listeners['rtmp']
  renderOnce(rtmpField, rtmp ?? '', () => [
    h('label', {}, 'Server'),
    rtmp === undefined
      ? h('p', {}, 'This server takes no streams.')
      : copyable(reachable(rtmp), 'the server'),
  ])
}

export async function refreshKeys(): Promise<void> {
  let keys: readonly Key[]
  try {
    ;({ keys } = await call<{ keys: readonly Key[] }>('GET', '/keys'))
  } catch (thrown) {
    // An edge has no keys of its own, and says whose to ask.
    if (!(thrown instanceof ApiError)) throw thrown
    renderOnce(list, thrown.message, () => [h('p', {}, thrown.message)])
    return
  }
  renderOnce(list, keys, () => [
    table(
      ['Stream', 'Id of the key', 'Since', ''],
      keys.map((key) => [
        key.name,
        h('code', { class: 'short' }, key.id),
        dateTime(key.createdAt),
        button('Revoke', 'danger', () => void revoke(key)),
      ]),
    ),
  ])
}

async function createKey(name: string): Promise<void> {
  error.textContent = ''
  try {
    const made = await call<NewKey>('POST', '/keys', { name })
    fresh.replaceChildren(
      h(
        'div',
        { class: 'fresh' },
        h('label', {}, `Stream key of ${made.name}: copy it now, it is not shown again`),
        copyable(made.key, 'the key'),
      ),
    )
    await refreshKeys()
  } catch (thrown) {
    error.textContent = thrown instanceof ApiError ? thrown.message : String(thrown)
  }
}

async function revoke(key: Key): Promise<void> {
  if (!confirm(`Revoke this key of ${key.name}? Nobody can publish with it any more.`)) return
  error.textContent = ''
  try {
    await call('DELETE', `/keys/${key.id}`)
    await refreshKeys()
  } catch (thrown) {
    error.textContent = thrown instanceof ApiError ? thrown.message : String(thrown)
  }
}
