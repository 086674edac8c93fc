import { writeUserControl } from '../rtmp/chunk-writer.ts'
import { writeCommand, writeSampleAccess, writeStatus } from '../rtmp/write-command.ts'
import { type PlaySource, STREAM_ID } from './play-source.ts'
import type { PlayerQueue } from './player-queue.ts'

/** One source played on one connection, in the order and words that players wait for. */
export class Player {
  readonly source: PlaySource
  readonly #queue: PlayerQueue
  #reading: Disposable | undefined
  #stopped = false

  constructor(source: PlaySource, queue: PlayerQueue) {
    this.source = source
    this.#queue = queue
  }

  begin(): void {
    this.#queue.send(writeUserControl('streamBegin', STREAM_ID))
    this.#status('NetStream.Play.Reset', 'Playing and resetting.')
    this.#status('NetStream.Play.Start', 'Started playing.')
    this.#queue.send(writeSampleAccess(STREAM_ID))
    this.#read()
  }

  pause(): void {
    this.stop()
    this.#status('NetStream.Pause.Notify', 'Paused.')
  }

  /** Live goes on where it is now. */
  resume(): void {
    this.#stopped = false
    this.#status('NetStream.Unpause.Notify', 'Playing.')
    this.#read()
  }

  /** ffmpeg shows nothing more until its seek is answered. */
  seek(): void {
    this.#status('NetStream.Seek.Notify', 'Live goes on where it is.')
  }

  stop(): void {
    this.#stopped = true
    this.#reading?.[Symbol.dispose]()
    this.#reading = undefined
    this.#queue.dropFrames()
  }

  /** What a player is told at the end of the stream; ffmpeg, VLC and rtmpdump then end by themselves. */
  lastWords(): Buffer {
    const complete = { level: 'status', code: 'NetStream.Play.Complete', description: '' }
    return Buffer.concat([
      this.#statusBytes('NetStream.Play.UnpublishNotify', 'The stream has ended.'),
      writeCommand(STREAM_ID, 'onPlayStatus', 0, null, complete),
      writeUserControl('streamEof', STREAM_ID),
    ])
  }

  #read(): void {
    // What is sent before and while it starts may overfill the queue, which cuts the player and stops it.
    if (this.#stopped) return
    this.#queue.join()
    const reading = this.source.start(this.#queue)
    if (this.#stopped) reading[Symbol.dispose]()
    else this.#reading = reading
    this.#queue.joined()
  }

  #status(code: `NetStream.${string}`, description: string): void {
    this.#queue.send(this.#statusBytes(code, description))
  }

  #statusBytes(code: `NetStream.${string}`, description: string): Buffer {
    return writeStatus(STREAM_ID, 'status', code, description)
  }
}
