/**
 * The one message stream of a connection: what createStream answers, and what all media goes out on, whatever a player
 * wrote on its `play`: messages on ids of the players' own choice could not be shared.
 */
export const STREAM_ID = 1

/** What a player's connection takes: whole RTMP messages in chunks, which many players share. */
export interface PlayOutput {
  /** Undroppable: headers, metadata, events. */
  send(bytes: Buffer): void
  /** A frame; `key` where a player that lost frames may go on. Dropped when the player is too far behind. */
  sendFrame(bytes: Buffer, frame: { readonly key: boolean; readonly timeMs: number }): void
  /** No more comes: what is queued is sent, then the player is told and its connection closed. */
  finish(): void
}

/** Something that can be played over RTMP: a live stream, or a stored file. */
export interface PlaySource {
  /** For logs and the API. */
  readonly name: string
  /** Undefined for live. */
  readonly durationSeconds: number | undefined
  /** Sends its metadata, headers and frames to `output` until disposed. */
  start(output: PlayOutput): Disposable
}

/** Finds what an application and name mean; undefined when there is nothing to play. */
export type OpenPlay = (path: readonly string[]) => PlaySource | undefined
