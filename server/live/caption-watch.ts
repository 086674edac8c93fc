import { CaptionScan, inOrder } from '../codecs/closed-captions.ts'
import type { Track } from '../codecs/track.ts'
import type { LiveWindow } from './window.ts'
import type { RenditionId } from './window-event.ts'

/** Finds out which renditions of one publish carry captions in their pictures, and tells the window. */
export class CaptionWatch {
  readonly #window: LiveWindow
  readonly #scans = new Map<RenditionId, CaptionScan>()

  constructor(window: LiveWindow) {
    this.#window = window
  }

  follow(id: RenditionId, track: Track): void {
    if (track.kind !== 'video') return
    const scan = this.#scans.get(id) ?? new CaptionScan()
    this.#scans.set(id, scan)
    scan.follow(track)
  }

  /** INSTREAM-IDs; undefined for none yet. */
  of(id: RenditionId): readonly string[] | undefined {
    const channels = this.#scans.get(id)?.channels ?? []
    return channels.length > 0 ? channels : undefined
  }

  see(id: RenditionId, frame: Uint8Array): void {
    const scan = this.#scans.get(id)
    if (!scan?.see(frame)) return
    const rendition = this.#window.rendition(id)
    const bytes = rendition && this.#window.init(id, rendition.init)
    if (!bytes || rendition.retired) return
    const { facts, init: uri } = rendition
    const captions = inOrder([...(facts.captions ?? []), ...scan.channels])
    if (captions.length === facts.captions?.length) return
    // The same init section again, of which more is known.
    const known = { ...facts, captions }
    this.#window.apply({ kind: 'init', rendition: id, uri, facts: known, bytes })
  }
}
