import type { Frame, Page } from 'playwright-core'
import { systemClock } from '../../server/lib/clock.ts'

/** What the probe in a frame has seen of its video; times are milliseconds since 1970. */
export interface Sight {
  video: HTMLVideoElement | undefined
  firstFrameAt: number
  lastFrameAt: number
  frames: number
  /** Reads the number in the picture that is on screen; undefined when there is none. */
  read(): number | undefined
  /** Milliseconds from stamp to screen, one for every eighth picture since `restart`. */
  ages: number[]
  /** Pauses between two pictures of more than 250 ms since `restart`. */
  freezes: number[]
  restart(): void
  /** Called at each picture. */
  onPicture: (() => void) | undefined
}

declare global {
  interface Window {
    sight?: Sight
    /** To the bench: this frame shows pictures. */
    tellSight(): void
  }
}

/** Of each page the frame that has shown a picture, once there is one. */
const pictured = new WeakMap<Page, Promise<Frame>>()

/** The probe goes into every frame of the page, before the page's own scripts. */
export async function installSight(page: Page): Promise<void> {
  // It tells by itself: a page that is asked every few milliseconds comes to its first picture a tenth of a second later.
  let tell: (frame: Frame) => void = () => {}
  pictured.set(page, new Promise((resolve) => (tell = resolve)))
  await page.exposeBinding('tellSight', ({ frame }) => tell(frame))
  // esbuild, and so tsx, wraps named functions in a helper that a page does not have.
  await page.addInitScript({ content: 'globalThis.__name ??= (f) => f' })
  await page.addInitScript(probe)
}

/** The frame that has shown a picture of its video, once there is one; undefined after `timeoutMs`. */
export async function frameWithPicture(page: Page, timeoutMs: number): Promise<Frame | undefined> {
  const enough = new AbortController()
  const never = systemClock.sleep(timeoutMs, enough.signal).catch(() => undefined)
  const frame = await Promise.race([pictured.get(page), never])
  enough.abort()
  return frame ?? undefined
}

function probe(): void {
  const CELLS = 32
  const FREEZE_MS = 250
  const canvas = document.createElement('canvas')
  canvas.width = CELLS * 8
  canvas.height = 16
  const context = canvas.getContext('2d', { willReadFrequently: true })

  const sight: Sight = {
    video: undefined,
    firstFrameAt: 0,
    lastFrameAt: 0,
    frames: 0,
    ages: [],
    freezes: [],
    onPicture: undefined,
    read: () => (sight.video && context ? readStrip(sight.video, context) : undefined),
    restart() {
      sight.ages = []
      sight.freezes = []
      sight.frames = 0
    },
  }
  window.sight = sight
  look()

  function look(): void {
    const video = findVideo(document)
    if (!video) {
      setTimeout(look, 10)
      return
    }
    sight.video = video
    const onFrame = (now: number) => {
      const at = performance.timeOrigin + now
      if (sight.firstFrameAt === 0) {
        sight.firstFrameAt = at
        window.tellSight()
      }
      const gap = at - sight.lastFrameAt
      if (sight.lastFrameAt > 0 && gap > FREEZE_MS) sight.freezes.push(Math.round(gap))
      sight.lastFrameAt = at
      sight.frames += 1
      if (sight.frames % 8 === 0) {
        const stamp = sight.read()
        if (stamp !== undefined) sight.ages.push(Math.round((Date.now() - stamp) % 2 ** 28))
      }
      sight.onPicture?.()
      video.requestVideoFrameCallback(onFrame)
    }
    video.requestVideoFrameCallback(onFrame)
  }

  function findVideo(root: Document | ShadowRoot): HTMLVideoElement | undefined {
    const found = root.querySelector('video')
    if (found) return found
    for (const element of root.querySelectorAll('*')) {
      const inside = element.shadowRoot && findVideo(element.shadowRoot)
      if (inside) return inside
    }
    return undefined
  }

  /** The other side of strip.ts: a cell is 8 by 8 on the canvas, its middle counts. */
  function readStrip(video: HTMLVideoElement, on: CanvasRenderingContext2D): number | undefined {
    const { videoWidth: width, videoHeight: height } = video
    if (width === 0) return undefined
    on.drawImage(video, 0, 0, width, height / 9, 0, 0, CELLS * 8, 16)
    const { data } = on.getImageData(0, 0, CELLS * 8, 16)
    const green = (x: number, y: number) => data[(y * CELLS * 8 + x) * 4 + 1] ?? 0
    let number = 0
    let check = 0
    for (let cell = 0; cell < CELLS; cell++) {
      const difference = green(cell * 8 + 4, 4) - green(cell * 8 + 4, 12)
      if (Math.abs(difference) < 60) return undefined
      const bit = difference > 0 ? 1 : 0
      if (cell < 28) number = number * 2 + bit
      else check = check * 2 + bit
    }
    let sum = 1
    for (let rest = number; rest > 0; rest = Math.floor(rest / 16)) sum += rest % 16
    return sum % 16 === check ? number : undefined
  }
}
