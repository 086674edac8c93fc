import { Controls } from '../controls/controls.ts'
import { defineMediaElement, NearcastVideo } from '../engine/media-element.ts'
import { PlayerStore, type Snapshot } from '../store/player-store.ts'
import type { PlayerState } from '../store/state.ts'

const FORWARDED = [
  'play',
  'pause',
  'playing',
  'ended',
  'timeupdate',
  'volumechange',
  'seeking',
  'seeked',
]
const TIME_PATTERN = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?$/

/**
 * `<nearcast-player>`: plays a live or stored source, says what it is doing, and heals by itself.
 * Attributes, properties and events: docs/PLAYER.md.
 */
export class NearcastPlayer extends HTMLElement {
  static readonly observedAttributes = ['src', 'poster', 'title', 'muted', 'loop', 'accent-color']

  readonly #controls: Controls
  readonly #video: NearcastVideo
  #store: PlayerStore | undefined
  #stateKey = ''
  #queued = false

  constructor() {
    super()
    defineMediaElement()
    this.#controls = new Controls(this, this.attachShadow({ mode: 'open' }))
    const video = this.#controls.find('nearcast-video')
    if (!(video instanceof NearcastVideo)) throw new Error('another nearcast-video is defined here')
    this.#video = video
    for (const type of FORWARDED)
      video.addEventListener(type, () => this.dispatchEvent(new Event(type)))
  }

  connectedCallback(): void {
    if (!this.hasAttribute('tabindex')) this.tabIndex = 0
    if (!this.hasAttribute('role')) this.setAttribute('role', 'region')
    this.#nameIt()
    this.#store = new PlayerStore(this.#video, (snapshot) => this.#onSnapshot(snapshot))
    this.#controls.attach(this.#store)
    this.#video.nativeEl.muted = this.hasAttribute('muted')
    this.#video.nativeEl.loop = this.hasAttribute('loop')
    this.#reload()
  }

  disconnectedCallback(): void {
    this.#store?.close()
    this.#store = undefined
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now) return
    switch (name) {
      case 'src':
        if (this.#store) this.#reload()
        break
      case 'poster':
        this.#controls.setPoster(now)
        break
      case 'title':
        this.#nameIt()
        break
      case 'muted':
        this.#video.nativeEl.muted = now !== null
        break
      case 'loop':
        this.#video.nativeEl.loop = now !== null
        break
      case 'accent-color':
        if (now) this.style.setProperty('--nearcast-accent', now)
        else this.style.removeProperty('--nearcast-accent')
    }
  }

  get src(): string {
    return this.getAttribute('src') ?? ''
  }
  set src(value: string) {
    this.setAttribute('src', value)
  }
  /** What the player is doing. */
  get state(): PlayerState {
    return this.#store?.snapshot.state ?? { kind: 'loading' }
  }
  /** Seconds behind the camera, or behind the server's newest media when the stream carries no clock; NaN for stored media. */
  get latency(): number {
    const live = this.#store?.snapshot.liveFacts
    return live ? (live.clockLatencySeconds ?? live.latencySeconds) : Number.NaN
  }
  get live(): boolean {
    return this.#store?.snapshot.live ?? false
  }
  get paused(): boolean {
    return this.#video.nativeEl.paused
  }
  get duration(): number {
    return this.#video.nativeEl.duration
  }
  get currentTime(): number {
    return this.#video.nativeEl.currentTime
  }
  set currentTime(seconds: number) {
    this.#video.nativeEl.currentTime = seconds
  }
  get muted(): boolean {
    return this.#video.nativeEl.muted
  }
  set muted(value: boolean) {
    this.#video.nativeEl.muted = value
  }
  get volume(): number {
    return this.#video.nativeEl.volume
  }
  set volume(value: number) {
    this.#video.nativeEl.volume = value
  }
  /** The video element inside, for what the player itself does not offer. */
  get media(): HTMLVideoElement {
    return this.#video.nativeEl
  }

  play(): void {
    // What was set before it is what shall play.
    if (this.#queued) this.#load()
    this.#store?.play()
  }
  pause(): void {
    this.#store?.pause()
  }
  /** Jumps to the live edge and stays there. */
  goLive(): void {
    this.#store?.goLive()
  }
  /** Asks for the source again at once. */
  retry(): void {
    this.#store?.retry()
  }

  /** Attributes set one after the other make one load. */
  #reload(): void {
    if (this.#queued) return
    this.#queued = true
    queueMicrotask(() => {
      if (this.#queued) this.#load()
    })
  }

  #load(): void {
    this.#queued = false
    this.#store?.load({
      src: this.src,
      expectsLive: this.getAttribute('stream-type') === 'live',
      startSeconds: readTime(this.getAttribute('start-time')),
      autoplay: readAutoplay(this.getAttribute('autoplay')),
      preload: this.getAttribute('preload') !== 'none',
    })
  }

  #nameIt(): void {
    const title = this.getAttribute('title') ?? ''
    this.#controls.setTitle(title)
    this.setAttribute('aria-label', title || 'Video player')
  }

  #onSnapshot(snapshot: Snapshot): void {
    this.#controls.show(snapshot, this.#video)
    const key = JSON.stringify(snapshot.state)
    if (key === this.#stateKey) return
    this.#stateKey = key
    this.setAttribute('data-state', snapshot.state.kind)
    this.dispatchEvent(new CustomEvent('statechange', { detail: snapshot.state }))
  }
}

function readAutoplay(value: string | null): 'no' | 'yes' | 'muted' {
  if (value === null || value === 'false') return 'no'
  return value === 'muted' ? 'muted' : 'yes'
}

/** `90`, `90s`, `1m30s`, `1h2m3s`; undefined for anything else. */
function readTime(value: string | null): number | undefined {
  const match = value ? TIME_PATTERN.exec(value) : null
  if (!match) return undefined
  const [, hours = '0', minutes = '0', seconds = '0'] = match
  return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)
}

if (!customElements.get('nearcast-player')) customElements.define('nearcast-player', NearcastPlayer)

declare global {
  interface HTMLElementTagNameMap {
    'nearcast-player': NearcastPlayer
  }
}
