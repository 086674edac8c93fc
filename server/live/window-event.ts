import type { VideoRange } from '../codecs/colour.ts'

/** `video` and `audio` today; a rung of a ladder is one more id. Part of URLs: lower-case letters and digits. */
export type RenditionId = string

/** What the multivariant playlist says of a rendition. */
export interface RenditionFacts {
  readonly kind: 'video' | 'audio'
  /** RFC 6381. */
  readonly codecString: string
  /** 0 for audio. */
  readonly width: number
  readonly height: number
  /** 0 for video. */
  readonly channels: number
  readonly language: string
  /** undefined where nobody says. */
  readonly videoRange?: VideoRange | undefined
  /** INSTREAM-IDs of captions among the pictures, as far as they were seen: CC1 to CC4, SERVICE1 to SERVICE63. */
  readonly captions?: readonly string[] | undefined
}

/** Something that happens at a moment (rfc8216bis §4.4.5.1). */
export interface DateRange {
  /** Its own among all of the window's life. */
  readonly id: string
  readonly className: string
  readonly startedAt: number
  /** X-…; a quoted string or a number. */
  readonly attributes: readonly (readonly [name: string, value: string | number])[]
}

/**
 * Everything that changes a window, in order. The packager makes these; a tail carries them to replicas and a saved
 * window is a list of them, so that all three are the same window. Times: milliseconds since 1970; durations: seconds.
 */
export type WindowEvent =
  | {
      readonly kind: 'open'
      /** Another id, another window: nothing of the old one continues. */
      readonly id: string
      readonly name: string
      readonly bornAt: number
      readonly windowSeconds: number
      readonly dvrSeconds: number
    }
  /** PART-TARGET: once in a window's life. */
  | { readonly kind: 'pace'; readonly partTargetSeconds: number }
  /** The target durations under which the window can be had, and the one that new viewers get. */
  | {
      readonly kind: 'promise'
      readonly targets: readonly number[]
      readonly current: number
      /** The longest segment so far needs this: a playlist that promised less says this instead. */
      readonly floor: number
    }
  | {
      readonly kind: 'init'
      readonly rendition: RenditionId
      /** Relative to the stream's folder. */
      readonly uri: string
      readonly facts: RenditionFacts
      readonly bytes: Uint8Array
    }
  /** A rung that an encoder will make: listed before its first init section. Bits a second at most. */
  | {
      readonly kind: 'announce'
      readonly rendition: RenditionId
      readonly facts: RenditionFacts
      readonly bitsPerSecond: number
    }
  /** Names of media from here on begin with this. */
  | { readonly kind: 'publish'; readonly epoch: string }
  | {
      readonly kind: 'segment'
      readonly rendition: RenditionId
      readonly sequence: number
      readonly epoch: string
      /** URI of its init section. */
      readonly init: string
      readonly startedAt: number
      readonly discontinuity: boolean
      /** Discontinuities in the window's life up to this segment, its own included. */
      readonly discontinuitySequence: number
      /** More than 0: the media is missing for so long, and the segment is closed at once. */
      readonly gapSeconds: number
    }
  | {
      readonly kind: 'part'
      readonly rendition: RenditionId
      readonly sequence: number
      readonly index: number
      readonly durationSeconds: number
      readonly independent: boolean
      readonly samples: number
      readonly bytes: Uint8Array
    }
  /** A closed segment of a snapshot whose media follows, a `fill` for each part: seconds, independent, samples, bytes. */
  | {
      readonly kind: 'past'
      readonly rendition: RenditionId
      readonly sequence: number
      readonly epoch: string
      readonly init: string
      readonly startedAt: number
      readonly discontinuity: boolean
      readonly discontinuitySequence: number
      readonly parts: readonly (readonly [number, boolean, number, number])[]
    }
  | {
      readonly kind: 'fill'
      readonly rendition: RenditionId
      readonly sequence: number
      readonly index: number
      readonly bytes: Uint8Array
    }
  /** A closed segment whose media is in an archive only: what its object's key begins with. */
  | {
      readonly kind: 'archived'
      readonly rendition: RenditionId
      readonly sequence: number
      readonly epoch: string
      readonly init: string
      readonly startedAt: number
      readonly discontinuity: boolean
      readonly discontinuitySequence: number
      readonly durationSeconds: number
      readonly byteLength: number
      readonly place: string
    }
  | ({ readonly kind: 'date-range' } & DateRange)
  | { readonly kind: 'close'; readonly rendition: RenditionId; readonly sequence: number }
  /** The stream has this rendition no longer. */
  | { readonly kind: 'retire'; readonly rendition: RenditionId }
  /** No publisher came back: the playlists end. */
  | { readonly kind: 'end' }
  /** Nothing happened, but the sender is there. */
  | { readonly kind: 'beat' }
  /** Last of a saved window: what lacks it was torn. */
  | { readonly kind: 'saved'; readonly at: number }

export type OpenEvent = Extract<WindowEvent, { kind: 'open' }>
export type SegmentEvent = Extract<WindowEvent, { kind: 'segment' }>
export type PartEvent = Extract<WindowEvent, { kind: 'part' }>
export type PastEvent = Extract<WindowEvent, { kind: 'past' }>
export type ArchivedEvent = Extract<WindowEvent, { kind: 'archived' }>
export type FillEvent = Extract<WindowEvent, { kind: 'fill' }>
