import type { ErrorKind, PlayerState } from './state.ts'

export type Request = 'play' | 'retry' | 'go-live' | 'replay'

/** What is said and offered over the picture: one sentence, at most one more, one action. */
export interface Card {
  readonly sentence: string
  readonly detail: string
  readonly action: { readonly request: Request; readonly label: string } | undefined
  readonly spinner: boolean
  /** `full` covers the picture; `light` lets it be seen; `play` is only the large button. */
  readonly look: 'full' | 'light' | 'play'
}

/** The card for a state; undefined while the picture speaks for itself. */
export function describeState(state: PlayerState): Card | undefined {
  switch (state.kind) {
    case 'live':
    case 'behind':
    case 'playing':
      return undefined
    case 'loading':
      return card('Loading…', '', undefined, true, 'light')
    case 'waiting':
      return state.dropped
        ? card(INTERRUPTED, BACK, ask, true)
        : card(
            'This stream is not live yet.',
            'It starts by itself. Keep this page open.',
            ask,
            true,
          )
    case 'reconnecting':
      if (state.dropped)
        return card(INTERRUPTED, BACK, state.long ? again : undefined, true, 'light')
      return state.long
        ? card('Still reconnecting…', 'It plays again by itself.', again, true, 'light')
        : card('Reconnecting…', '', undefined, true, 'light')
    case 'paused':
      return state.started
        ? undefined
        : card('', '', { request: 'play', label: 'Play' }, false, 'play')
    case 'ended':
      return state.live
        ? card('The live stream has ended.', 'If it comes back, it plays here.', ask, false)
        : card('The end.', '', { request: 'replay', label: 'Play again' }, false, 'light')
    case 'error':
      return card(SENTENCES[state.error], detailOf(state), again, false)
  }
}

/** The state in words for a screen reader; '' where silence is better. */
export function announce(state: PlayerState): string {
  const said = describeState(state)
  if (!said || said.look === 'play') return ''
  return said.detail ? `${said.sentence} ${said.detail}` : said.sentence
}

const INTERRUPTED = 'The stream was interrupted.'
const BACK = 'It goes on by itself when it is back.'

const again = { request: 'retry', label: 'Try again' } as const
const ask = { request: 'retry', label: 'Check now' } as const

const SENTENCES: Readonly<Record<ErrorKind, string>> = {
  'not-found': 'There is no video at this address.',
  forbidden: 'You are not allowed to watch this.',
  unsupported: 'This video cannot be played here.',
  decode: 'The video is damaged and could not be decoded.',
  network: 'The video could not be reached.',
  offline: 'You are offline.',
}

const HINTS: Readonly<Record<ErrorKind, string>> = {
  'not-found': 'The name may be misspelt, or the file was removed.',
  forbidden: 'The link may have expired.',
  unsupported: 'Its format is not one that browsers know.',
  decode: 'Trying again sometimes helps.',
  network: 'The server did not answer.',
  offline: 'It goes on by itself when the network is back.',
}

/** Of servers that answered, by their code; the operator's words for it are not a viewer's. */
const SERVER_SAID: readonly (readonly [code: RegExp, sentence: string])[] = [
  [/^(?:store-|bucket-)/, 'The server could not reach its storage.'],
  [/^origin-/, 'The server could not reach its source.'],
  [/^unavailable$/, 'The server is not ready yet.'],
  [/^limit-exceeded$|^http-429$/, 'The server has too much to do.'],
  [/^internal$|^http-/, 'The server answered with an error.'],
]

/** What is known of a server that gave no video: its own reason, or that it is silent. */
function networkDetail(code: string): string {
  return SERVER_SAID.find(([pattern]) => pattern.test(code))?.[1] ?? HINTS.network
}

/** The server knows better why; the hint is for when it said nothing. */
function detailOf(state: Extract<PlayerState, { kind: 'error' }>): string {
  const told = state.error === 'unsupported' || state.error === 'forbidden'
  if (told && state.message) return state.message
  if (state.error !== 'network') return HINTS[state.error]
  const detail = networkDetail(state.code)
  return state.retrying ? `${detail} The player keeps trying by itself.` : detail
}

function card(
  sentence: string,
  detail: string,
  action: Card['action'],
  spinner: boolean,
  look: Card['look'] = 'full',
): Card {
  return { sentence, detail, action, spinner, look }
}
