import { announce, describeState, type Request } from '../store/describe-state.ts'
import type { PlayerStore, Snapshot } from '../store/player-store.ts'
import { formatTime } from './format-time.ts'
import { type KeyCommand, readKey } from './read-key.ts'
import { TEMPLATE } from './template.ts'

/** What the controls need of the video element. */
export interface ControlledVideo extends HTMLElement {
  readonly nativeEl: HTMLVideoElement
  readonly videoRenditions: { readonly length: number }
  readonly audioTracks: { readonly length: number }
}

const FRAME_SECONDS = 1 / 30

/** The visible part of the player: shows snapshots, turns clicks and keys into requests to the store. */
export class Controls {
  readonly #root: ShadowRoot
  readonly #host: HTMLElement
  #store: PlayerStore | undefined
  #snapshot: Snapshot | undefined
  #request: Request = 'play'
  #chrome: 'wanted' | 'asked' = 'wanted'

  constructor(host: HTMLElement, root: ShadowRoot) {
    this.#host = host
    this.#root = root
    root.innerHTML = TEMPLATE
    this.#listen()
  }

  /** Named like this the element is upgraded before it is used. */
  find(selector: string): HTMLElement {
    const element = this.#root.querySelector<HTMLElement>(selector)
    if (!element) throw new Error(`the player's template has no ${selector}`)
    return element
  }

  /** Each time the player comes into a page. */
  attach(store: PlayerStore): void {
    this.#store = store
    this.#settle()
  }

  /** media-chrome takes as long to evaluate as a picture to fetch and decode, and nobody needs it before. */
  async #loadChrome(): Promise<void> {
    if (this.#chrome === 'asked') return
    this.#chrome = 'asked'
    try {
      await import('./chrome.ts')
    } catch {
      // A picture without our buttons gets the browser's own, and the next one asks again.
      this.#chrome = 'wanted'
      this.#video().controls = true
      return
    }
    this.#video().controls = false
    // What is not in a page is not upgraded by itself.
    customElements.upgrade(this.#host)
    this.find('media-captions-button').setAttribute('role', 'switch')
    for (const range of this.#root.querySelectorAll('media-time-range, media-volume-range'))
      range.shadowRoot?.append(focusRing())
    Object.assign(this.find('media-controller'), { fullscreenElement: this.#host })
    this.#settle()
  }

  /** The controller makes itself a tab stop each time it is connected; the player already is one. */
  #settle(): void {
    queueMicrotask(() => this.find('media-controller').removeAttribute('tabindex'))
  }

  setTitle(title: string): void {
    this.find('.title').textContent = title
    this.find('media-controller').setAttribute('aria-label', title || 'Video')
  }

  setPoster(url: string | null): void {
    if (url) this.find('.poster').setAttribute('src', url)
    else this.find('.poster').removeAttribute('src')
  }

  show(snapshot: Snapshot, video: ControlledVideo): void {
    const previous = this.#snapshot?.state.kind
    this.#snapshot = snapshot
    this.#showCard(snapshot)
    this.#showBadge(snapshot)
    const { state } = snapshot
    if (state.kind !== 'loading' && state.kind !== previous) void this.#loadChrome()
    const rewind = (snapshot.liveFacts?.windowSeconds ?? 0) > 90
    toggle(this.find('media-time-range'), !snapshot.live || rewind)
    toggle(this.find('.time'), !snapshot.live)
    // media-chrome that comes after the picture does not know that there was one.
    toggle(
      this.find('.poster'),
      !pictureIsUp(snapshot) && !('dropped' in state) && state.kind !== 'ended',
    )
    toggle(this.find('.unmute'), snapshot.needsUnmute && pictureIsUp(snapshot))
    toggle(this.find('.chrome'), pictureIsUp(snapshot) || state.kind === 'ended')
    toggle(this.find('.quality'), video.videoRenditions.length > 1)
    toggle(this.find('.audio'), video.audioTracks.length > 1)
    toggle(this.find('.speed'), !snapshot.live)
    const choices = video.videoRenditions.length > 1 || video.audioTracks.length > 1
    toggle(this.find('media-settings-menu-button'), choices || !snapshot.live)
    toggle(
      this.find('media-captions-button'),
      this.find('media-captions-button').hasAttribute('mediasubtitleslist'),
    )
  }

  #showCard(snapshot: Snapshot): void {
    const { state } = snapshot
    const card = describeState(state)
    const stage = this.find('.stage')
    const spinner = card?.spinner ?? snapshot.buffering
    stage.dataset['look'] = card?.look ?? 'none'
    stage.toggleAttribute('data-picture', 'dropped' in state && state.dropped)
    toggle(this.find('.spinner'), spinner)
    // The first text of a page costs as much as the first picture: it waits until somebody waits.
    const early = state.kind === 'loading' && !snapshot.slow
    text(this.find('.sentence'), early ? '' : (card?.sentence ?? ''))
    text(this.find('.detail'), card?.detail ?? '')
    const act = this.find('.act')
    toggle(act, card?.action !== undefined && card.look !== 'play')
    toggle(this.find('.big'), card?.look === 'play')
    if (card?.action) {
      this.#request = card.action.request
      text(act, card.action.label)
    }
    text(this.find('.said'), announce(state))
  }

  #showBadge(snapshot: Snapshot): void {
    const badge = this.find('.badge')
    const { state, liveFacts } = snapshot
    toggle(badge, snapshot.live && liveFacts !== undefined)
    if (!liveFacts) return
    const atEdge = state.kind === 'live'
    badge.dataset['at'] = atEdge ? 'edge' : 'behind'
    const seconds = liveFacts.clockLatencySeconds ?? liveFacts.latencySeconds
    text(this.find('.word'), atEdge ? 'LIVE' : 'Go live')
    text(this.find('.latency'), seconds > 0 && seconds < 3600 ? `${seconds.toFixed(1)} s` : '')
    badge.title = atEdge ? 'Seconds behind the camera' : 'Jump to live'
  }

  #showTime(video: HTMLVideoElement): void {
    // The last frame of a film of 24 s ends at 23.999999.
    const total = Number.isFinite(video.duration) ? Math.round(video.duration) : 0
    text(this.find('.now'), formatTime(video.ended ? total : video.currentTime))
    text(this.find('.total'), total > 0 ? ` / ${formatTime(total)}` : '')
  }

  #listen(): void {
    const intercept = (type: string, run: () => void) =>
      this.#root.addEventListener(
        type,
        (event) => {
          event.stopImmediatePropagation()
          run()
        },
        true,
      )
    intercept('mediaplayrequest', () => this.#store?.play())
    intercept('mediapauserequest', () => this.#store?.pause())
    intercept('mediaseektoliverequest', () => this.#store?.goLive())
    this.find('.badge').addEventListener('click', () => this.#store?.goLive())
    this.find('.unmute').addEventListener('click', () => {
      this.#store?.unmute()
      this.#host.focus()
    })
    for (const name of ['.act', '.big'])
      this.find(name).addEventListener('click', () => this.#carryOut(this.#request))
    this.#host.addEventListener('keydown', (event) => this.#onKey(event))
    for (const type of ['timeupdate', 'durationchange', 'seeking', 'emptied'])
      this.find('nearcast-video').addEventListener(type, () => this.#showTime(this.#video()))
  }

  #carryOut(request: Request): void {
    const store = this.#store
    switch (request) {
      case 'play':
        store?.play()
        break
      case 'retry':
        store?.retry()
        break
      case 'go-live':
        store?.goLive()
        break
      case 'replay':
        store?.replay()
    }
    this.#host.focus()
  }

  #onKey(event: KeyboardEvent): void {
    const modified = event.ctrlKey || event.altKey || event.metaKey
    const command = readKey({ key: event.key, modified, focus: focusOf(event.composedPath()) })
    if (!command || event.defaultPrevented) return
    event.preventDefault()
    this.#obey(command)
    this.find('media-controller').dispatchEvent(new KeyboardEvent('keyup', { key: 'Shift' }))
  }

  #obey(command: KeyCommand): void {
    const video = this.#video()
    switch (command.kind) {
      case 'toggle-play':
        if (video.paused) this.#store?.play()
        else this.#store?.pause()
        return
      case 'toggle-mute':
        if (video.muted) this.#store?.unmute()
        else video.muted = true
        return
      case 'toggle-fullscreen':
        this.#toggleFullscreen()
        return
      case 'toggle-captions':
        this.#ask('mediatogglesubtitlesrequest')
        return
      case 'seek-by':
        this.#seekTo(video.currentTime + command.seconds)
        return
      case 'seek-part':
        this.#seekPart(command.part)
        return
      case 'frame':
        this.#store?.pause()
        this.#seekTo(video.currentTime + command.direction * FRAME_SECONDS)
        return
      case 'volume-by':
        video.volume = Math.min(1, Math.max(0, video.volume + command.amount))
        if (command.amount > 0) video.muted = false
    }
  }

  /** The controller knows the ways of older browsers; until it is there, the standard's has to do. */
  #toggleFullscreen(): void {
    const there = customElements.get('media-controller') !== undefined
    const full = document.fullscreenElement !== null
    if (there) this.#ask(full ? 'mediaexitfullscreenrequest' : 'mediaenterfullscreenrequest')
    else if (full) void document.exitFullscreen()
    else this.#host.requestFullscreen().catch(() => {})
  }

  #seekPart(part: number): void {
    const { seekable } = this.#video()
    if (seekable.length === 0) return
    if (part === 1 && this.#snapshot?.live) {
      this.#store?.goLive()
      return
    }
    const start = seekable.start(0)
    this.#seekTo(start + (seekable.end(seekable.length - 1) - start) * part)
  }

  #seekTo(seconds: number): void {
    const video = this.#video()
    const { seekable } = video
    if (seekable.length === 0) return
    const end = seekable.end(seekable.length - 1)
    if (this.#snapshot?.live && seconds >= end) this.#store?.goLive()
    else video.currentTime = Math.min(end, Math.max(seekable.start(0), seconds))
  }

  #video(): HTMLVideoElement {
    const element = this.find('nearcast-video')
    if (!('nativeEl' in element) || !(element.nativeEl instanceof HTMLVideoElement))
      throw new Error('the video element is not defined yet')
    return element.nativeEl
  }

  #ask(type: string): void {
    this.find('media-controller').dispatchEvent(new CustomEvent(type))
  }
}

function pictureIsUp({ state }: Snapshot): boolean {
  switch (state.kind) {
    case 'live':
    case 'behind':
    case 'playing':
      return true
    case 'paused':
      return state.started
    case 'loading':
    case 'waiting':
    case 'reconnecting':
    case 'ended':
    case 'error':
      return false
  }
}

/** media-chrome takes the sliders' outline away and draws none that all of them show. */
function focusRing(): HTMLStyleElement {
  const style = document.createElement('style')
  style.textContent = '#range:focus-visible { outline: 2px solid #fff; outline-offset: -1px; }'
  return style
}

/** Only a change is written: the same value again would still wake observers. */
function text(element: HTMLElement, value: string): void {
  if (element.textContent !== value) element.textContent = value
}

function toggle(element: HTMLElement, visible: boolean): void {
  if (element.hidden === visible) element.hidden = !visible
}

function focusOf(path: readonly EventTarget[]): 'player' | 'button' | 'slider' | 'menu' {
  for (const target of path) {
    if (!(target instanceof HTMLElement)) continue
    const name = target.localName
    if (name.includes('-menu') && !name.endsWith('-button')) return 'menu'
    if (name === 'input' || name.endsWith('-range')) return 'slider'
    if (name === 'button' || name.endsWith('-button')) return 'button'
  }
  return 'player'
}
