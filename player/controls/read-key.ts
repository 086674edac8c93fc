/** What a key asks for. */
export type KeyCommand =
  | { readonly kind: 'toggle-play' }
  | { readonly kind: 'toggle-mute' }
  | { readonly kind: 'toggle-fullscreen' }
  | { readonly kind: 'toggle-captions' }
  | { readonly kind: 'seek-by'; readonly seconds: number }
  | { readonly kind: 'seek-part'; readonly part: number }
  | { readonly kind: 'frame'; readonly direction: 1 | -1 }
  | { readonly kind: 'volume-by'; readonly amount: number }

export interface KeyPress {
  readonly key: string
  /** Control, Alt or Meta is held: the browser's own shortcut. */
  readonly modified: boolean
  /** What has the focus: a button takes Space and Enter, a slider the arrows, a menu everything. */
  readonly focus: 'player' | 'button' | 'slider' | 'menu'
}

/** The command for a key press inside the player; undefined when the key is someone else's. */
export function readKey(press: KeyPress): KeyCommand | undefined {
  if (press.modified || press.focus === 'menu') return undefined
  if (press.focus === 'button' && (press.key === ' ' || press.key === 'Enter')) return undefined
  if (press.focus === 'slider' && SLIDER_KEYS.has(press.key)) return undefined
  if (/^[0-9]$/.test(press.key)) return { kind: 'seek-part', part: Number(press.key) / 10 }
  return COMMANDS.get(press.key.length === 1 ? press.key.toLowerCase() : press.key)
}

const SLIDER_KEYS = new Set([
  'ArrowLeft',
  'ArrowRight',
  'ArrowUp',
  'ArrowDown',
  'Home',
  'End',
  'PageUp',
  'PageDown',
])

const COMMANDS: ReadonlyMap<string, KeyCommand> = new Map([
  [' ', { kind: 'toggle-play' }],
  ['k', { kind: 'toggle-play' }],
  ['m', { kind: 'toggle-mute' }],
  ['f', { kind: 'toggle-fullscreen' }],
  ['c', { kind: 'toggle-captions' }],
  ['j', { kind: 'seek-by', seconds: -10 }],
  ['l', { kind: 'seek-by', seconds: 10 }],
  ['ArrowLeft', { kind: 'seek-by', seconds: -5 }],
  ['ArrowRight', { kind: 'seek-by', seconds: 5 }],
  ['ArrowUp', { kind: 'volume-by', amount: 0.05 }],
  ['ArrowDown', { kind: 'volume-by', amount: -0.05 }],
  ['Home', { kind: 'seek-part', part: 0 }],
  ['End', { kind: 'seek-part', part: 1 }],
  [',', { kind: 'frame', direction: -1 }],
  ['.', { kind: 'frame', direction: 1 }],
])
