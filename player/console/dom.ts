import { after } from './timer.ts'

type Child = Node | string | undefined | false

/** An element; text is always text, so nothing that a stream or a path is called can become markup. */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children.filter((child) => child !== undefined && child !== false))
  return element
}

/** The element of the page with this id; the page is ours, so it is there. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id)
  if (!element) throw new Error(`#${id} is missing`)
  return element
}

export function button(text: string, kind: string, act: () => void): HTMLButtonElement {
  const made = h('button', { type: 'button', class: kind }, text)
  made.addEventListener('click', act)
  return made
}

const COPIED_MS = 1500

/** A button that copies `value` and says so. */
export function copyButton(text: string, value: string): HTMLButtonElement {
  const copy = button(text, '', () => {
    // A page that came by http from another machine has no clipboard: there the keyboard copies.
    if (!navigator.clipboard) prompt('Copy with Ctrl+C', value)
    else
      void navigator.clipboard.writeText(value).then(() => {
        copy.textContent = 'Copied'
        after(COPIED_MS, () => {
          copy.textContent = text
        })
      })
  })
  return copy
}

/** A value and a button that copies it. */
export function copyable(value: string, label: string): HTMLElement {
  const copy = copyButton('Copy', value)
  copy.setAttribute('aria-label', `Copy ${label}`)
  return h('div', { class: 'copy' }, h('code', {}, value), copy)
}

export function table(
  head: readonly string[],
  rows: readonly (readonly Child[])[],
): HTMLTableElement {
  return h(
    'table',
    {},
    h('thead', {}, h('tr', {}, ...head.map((text) => h('th', {}, text)))),
    h('tbody', {}, ...rows.map((cells) => h('tr', {}, ...cells.map((cell) => h('td', {}, cell))))),
  )
}

/** Replaces what is in `parent` only when `key` is new, so that focus and selection stay where they are. */
export function renderOnce(parent: HTMLElement, key: unknown, make: () => readonly Child[]): void {
  const text = JSON.stringify(key)
  if (parent.dataset['key'] === text) return
  parent.dataset['key'] = text
  parent.replaceChildren(...make().filter((child) => child !== undefined && child !== false))
}
