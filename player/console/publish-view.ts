import { ApiError, call, type Key, type NewKey, type Overview } from './api.ts'
import { button, byId, copyable, copyButton, h, renderOnce, table } from './dom.ts'
import { dateTime, reachable } from './format.ts'
import { askToRotate } from './rotate-key.ts'

const rtmpField = h('div', { class: 'field' })
const fresh = h('div', { id: 'fresh-key' })
const list = h('div', { class: 'scroll' })
const error = h('p', { class: 'error', role: 'alert' })
let server: string | undefined

/** What OBS needs, and the keys there are. */
export function openPublish(): void {
  const name = h('input', { id: 'key-name', placeholder: 'main', 'aria-label': 'Stream name' })
  const backup = h('input', { type: 'checkbox' })
  const form = h(
    'form',
    {},
    h('div', { class: 'row' }, name, h('button', { class: 'go', type: 'submit' }, 'New key')),
    h(
      'label',
      { class: 'check' },
      backup,
      'For a backup publisher: it stands by, and takes over while the other one is gone',
    ),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const asked = { name: name.value.trim() || 'main', backup: backup.checked }
    void attempt(async () => showFresh(await call<NewKey>('POST', '/keys', asked)))
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
  const listener = health.listeners['rtmp']
  server = listener && reachable(listener)
  renderOnce(rtmpField, server ?? '', () => [
    h('label', {}, 'Server'),
    server === undefined
      ? h('p', {}, 'This server takes no streams.')
      : copyable(server, 'the server'),
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
  renderOnce(list, keys, () => [table(['Stream', 'Key', 'Since', '', ''], keys.map(rowOf))])
}

function rowOf(key: Key) {
  const named = `${key.name}, ${key.masked.slice(-4)}`
  const rotate = button('Rotate…', '', () =>
    askToRotate(key, (made, former) => void attempt(() => showFresh(made, former))),
  )
  rotate.setAttribute('aria-label', `Rotate the key of ${named}`)
  const revoke = button('Revoke', 'danger', () => void attempt(() => revokeKey(key)))
  revoke.setAttribute('aria-label', `Revoke the key of ${named}`)
  return [
    key.name,
    h('code', { class: 'short', title: `Id ${key.id}` }, key.masked),
    dateTime(key.createdAt),
    h(
      'span',
      { class: 'tags' },
      key.backup && h('span', { class: 'tag' }, 'backup'),
      key.until !== undefined && h('span', { class: 'tag fair' }, `until ${dateTime(key.until)}`),
    ),
    h('div', { class: 'actions' }, key.until === undefined && rotate, revoke),
  ]
}

async function showFresh(made: NewKey, former?: string): Promise<void> {
  const copyKey = copyable(made.key, 'the key')
  fresh.replaceChildren(
    h(
      'div',
      { class: 'fresh' },
      h(
        'p',
        { role: 'status' },
        `${made.backup ? 'Backup stream' : 'Stream'} key of ${made.name}: copy it now, it is not shown again.`,
      ),
      copyKey,
      former !== undefined && h('p', {}, former),
      server !== undefined && copyButton('Copy OBS settings', obsSettings(server, made)),
    ),
  )
  // The button that asked for it may have gone with its row.
  copyKey.querySelector('button')?.focus()
  await refreshKeys()
}

/** As OBS names the fields, to be sent to whoever is to go live. */
function obsSettings(address: string, { key }: NewKey): string {
  return [
    'OBS, Settings, Stream',
    'Service: Custom…',
    `Server: ${address}`,
    `Stream Key: ${key}`,
    'OBS, Settings, Output (Output Mode: Advanced), Streaming',
    'Keyframe Interval: 1 s',
  ].join('\n')
}

async function revokeKey(key: Key): Promise<void> {
  if (!confirm(`Revoke this key of ${key.name}? Nobody can publish with it any more.`)) return
  await call('DELETE', `/keys/${key.id}`)
  await refreshKeys()
}

async function attempt(act: () => Promise<void>): Promise<void> {
  error.textContent = ''
  try {
    await act()
  } catch (thrown) {
    error.textContent = thrown instanceof ApiError ? thrown.message : String(thrown)
  }
}
