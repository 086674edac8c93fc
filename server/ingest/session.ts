import type { Socket } from 'node:net'
import { assertNever, describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import {
  OUT_CHUNK_SIZE,
  writeSetChunkSize,
  writeSetPeerBandwidth,
  writeWindowAckSize,
} from '../rtmp/chunk-writer.ts'
import { RtmpConnection } from '../rtmp/connection.ts'
import { MESSAGE, type RtmpMessage } from '../rtmp/messages.ts'
import { readCommand, type RtmpCommand } from '../rtmp/read-command.ts'
import { writeConnectResult, writeResult, writeStatus } from '../rtmp/write-command.ts'
import type { StreamEnd } from '../stream/live-stream.ts'
import { type Admission, failedToDecide } from './admission.ts'
import { openPublish, type Publishing } from './open-publish.ts'
import { STREAM_ID } from './play-source.ts'
import { Player } from './player.ts'
import { PlayerQueue } from './player-queue.ts'
import type { PublishVerdict } from './publish-gate.ts'
import { refusalLevel } from './refusal-level.ts'
import { type Remote, remoteOf } from './remote.ts'
import type { SessionDeps } from './session-deps.ts'
import { SessionLife, type Severity } from './session-life.ts'
import type { SessionInfo, SessionState } from './session-state.ts'
import type { OpenedStream } from './stream-keys.ts'
import { joinStreamPath, whyNotFound } from './stream-path.ts'
import { takeData } from './take-data.ts'

type Admitted = Extract<PublishVerdict, { readonly kind: 'admitted' }>

const WINDOW_BYTES = 5_000_000
/** How long a refused client may take to read why. */
const LINGER_MS = 1000
/** How long a player may take to read the end. */
const ENDING_MS = 5000

/** One RTMP connection: handshake → idle → (deciding →) publishing | playing ⇄ paused → closed. Owns its socket. */
export class RtmpSession {
  readonly id: number
  readonly #socket: Socket
  readonly #deps: SessionDeps
  readonly #log: Log
  readonly #remote: Remote
  readonly #connectedAt: number
  readonly #connection: RtmpConnection
  readonly #queue: PlayerQueue
  readonly #life: SessionLife
  #bytesIn = 0
  #app: string | undefined
  #agent = ''
  #name: string | undefined
  #backup = false
  #publishing: Publishing | undefined
  /** While somebody else is asked whether it may publish. */
  #asking: AbortController | undefined
  #player: Player | undefined
  #countedDrops = 0

  constructor(id: number, socket: Socket, deps: SessionDeps) {
    this.id = id
    this.#socket = socket
    this.#deps = deps
    this.#remote = remoteOf(socket)
    this.#log = deps.log.with({ session: id, remote: this.#remote.text })
    this.#connectedAt = deps.clock.now()
    this.#life = new SessionLife(deps, this.#log)
    this.#connection = new RtmpConnection({
      write: (bytes) => this.#write(bytes),
      onHandshake: () => this.#to('idle', 'handshake done'),
      onMessage: (message) => this.#onMessage(message),
    })
    this.#queue = new PlayerQueue(socket, deps.limits.queue, () => deps.clock.monotonic(), {
      onFinished: () => this.#endPlay(),
      onOverflow: () => this.close('the client does not read its answers', 'lost', 'warn'),
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 30_000)
    socket.on('data', (bytes) => this.#onData(bytes))
    socket.on('drain', () => this.#queue.pump())
    socket.on('end', () => this.close('the client closed the connection'))
    // Most players end with a reset.
    socket.on('error', (error) => this.close(describeError(error)))
    socket.on('close', () => {
      this.close('the connection closed')
      deps.onClosed()
    })
  }

  get address(): string {
    return this.#remote.address
  }

  info(): SessionInfo {
    return {
      id: this.id,
      remote: this.#remote.text,
      state: this.#life.state,
      name: this.#name,
      agent: this.#agent,
      connectedAt: this.#connectedAt,
      bytesIn: this.#bytesIn,
      bytesOut: this.#socket.bytesWritten,
      droppedFrames: this.#queue.droppedFrames + (this.#publishing?.reader.droppedFrames ?? 0),
    }
  }

  isPublishing({ name, backup }: OpenedStream): boolean {
    return this.#life.state === 'publishing' && this.#name === name && this.#backup === backup
  }
  /** Since the last frame it published. */
  get silentMs(): number {
    return this.#life.silentMs
  }

  /** Called each second: closes what is past its deadline. `lateMs`, in which the process stood still, is nobody's silence. */
  check(lateMs = 0): void {
    this.#countDrops()
    this.#queue.discount(lateMs)
    const reason = this.#life.overdue(lateMs, this.#queue.stalledMs())
    if (reason !== undefined) this.close(reason)
  }

  /** Ends the connection at once; a stream it publishes ends with `end`. */
  close(reason: string, end: StreamEnd = 'lost', level: Severity = 'info'): void {
    this.#leave(reason, end, level)
    this.#socket.destroy()
  }

  #to(state: SessionState, reason: string, level: Severity = 'info'): void {
    this.#life.to(state, this.#name, reason, level)
  }

  #onData(bytes: Buffer): void {
    this.#bytesIn += bytes.length
    this.#deps.counters.bytesIn.add(bytes.length)
    // Bytes of a client that was refused are taken off the wire, so that it can read why, and dropped.
    if (this.#life.state === 'closed') return
    try {
      this.#connection.push(bytes)
    } catch (error) {
      this.#fail(error)
    }
  }

  #onMessage(message: RtmpMessage): void {
    if (this.#life.state === 'closed') return
    switch (message.type) {
      case MESSAGE.audio:
        this.#publishing?.reader.audio(message.timestamp, message.payload)
        return
      case MESSAGE.video:
        this.#publishing?.reader.video(message.timestamp, message.payload)
        return
      case MESSAGE.dataAmf0:
      case MESSAGE.dataAmf3:
        if (this.#publishing) takeData(this.#publishing, message)
        return
      default:
        this.#onCommand(readCommand(message))
    }
  }

  #onCommand(command: RtmpCommand): void {
    if (command.kind !== 'connect' && this.#app === undefined) {
      throw new NearcastError('bad-request', `${command.kind} before connect`)
    }
    switch (command.kind) {
      case 'connect':
        this.#connect(command)
        return
      case 'create-stream':
        this.#write(writeResult(command.transaction, STREAM_ID))
        return
      case 'publish':
        this.#publish(command)
        return
      case 'play':
        this.#play(command)
        return
      case 'get-stream-length': {
        const source = this.#deps.openPlay(joinStreamPath(this.#app ?? '', command.name))
        this.#write(writeResult(command.transaction, source?.durationSeconds ?? 0))
        return
      }
      case 'pause':
        this.#pause(command.paused)
        return
      case 'seek':
        this.#player?.seek()
        return
      case 'fc-unpublish':
      case 'close-stream':
        this.#stop()
        return
      case 'release-stream':
      case 'fc-publish':
      case 'fc-subscribe':
        if (command.transaction > 0) this.#write(writeResult(command.transaction, null))
        return
      case 'other':
        return
      default:
        assertNever(command)
    }
  }

  #connect(command: RtmpCommand & { kind: 'connect' }): void {
    if (this.#app !== undefined) throw new NearcastError('bad-request', 'connect a second time')
    this.#app = command.app
    this.#agent = command.agent
    this.#write(writeWindowAckSize(WINDOW_BYTES))
    this.#write(writeSetPeerBandwidth(WINDOW_BYTES))
    this.#write(writeSetChunkSize(OUT_CHUNK_SIZE))
    this.#write(writeConnectResult(command.transaction))
  }

  #publish(command: RtmpCommand & { kind: 'publish' }): void {
    if (this.#life.state !== 'idle')
      throw new NearcastError('bad-request', `publish while ${this.#life.state}`)
    const path = joinStreamPath(this.#app ?? '', command.name)
    const verdict = this.#deps.gate.admit(path, this.address)
    if (verdict.kind === 'refused') this.#refusePublish(command.streamId, verdict.description)
    else if (this.#deps.admission) void this.#ask(command.streamId, verdict, this.#deps.admission)
    else this.#begin(command.streamId, verdict)
  }

  /** No word to the client before there is an answer: after Publish.Start OBS shows LIVE. */
  async #ask(streamId: number, verdict: Admitted, admission: Admission): Promise<void> {
    const asking = new AbortController()
    this.#asking = asking
    this.#name = verdict.name
    this.#to('deciding', this.#agent)
    const { name: stream, backup } = verdict
    const { address, protocol } = this.#remote
    const about = { stream, backup, protocol, address, agent: this.#agent }
    const decided = await admission(about, asking.signal).catch(failedToDecide)
    // It left, or asks for something else by now.
    if (asking.signal.aborted) return
    this.#asking = undefined
    if (decided.kind === 'refused')
      this.#refusePublish(streamId, decided.description, decided.trouble)
    else if (verdict.valid()) this.#begin(streamId, verdict)
    else this.#refusePublish(streamId, 'The stream key is not known.')
  }

  #refusePublish(streamId: number, description: string, trouble?: string): void {
    this.#deps.counters.refused.add()
    // Before Publish.Start, or OBS shows LIVE; with any other code than BadName it hangs or comes back for ever.
    const level = refusalLevel(this.#deps, this.address)
    if (trouble !== undefined) this.#log[level]('nobody decided on a publisher', { trouble })
    this.#refuse(streamId, 'NetStream.Publish.BadName', description, level)
  }

  #begin(streamId: number, { name, backup, valid }: Admitted): void {
    this.#name = name
    this.#backup = backup
    this.#life.heard()
    const publisher = {
      description: `rtmp ${this.#remote.text}`,
      backup,
      cut: (reason: string) => this.#cut(reason),
      mayPublish: valid,
    }
    this.#publishing = openPublish(this.#deps.registry, name, publisher, {
      onFrame: () => this.#life.heard(),
      onTrouble: (reason) =>
        this.#log.warn('rtmp publisher sends what is left out', { name, reason }),
    })
    this.#to('publishing', this.#agent)
    this.#connection.allowMedia()
    this.#write(writeStatus(streamId, 'status', 'NetStream.Publish.Start', 'The stream is live.'))
  }

  #play(command: RtmpCommand & { kind: 'play' }): void {
    if (this.#life.state !== 'idle')
      throw new NearcastError('bad-request', `play while ${this.#life.state}`)
    const path = joinStreamPath(this.#app ?? '', command.name)
    const source = this.#deps.openPlay(path)
    if (!source) {
      this.#refuse(command.streamId, 'NetStream.Play.StreamNotFound', whyNotFound(path))
      return
    }
    this.#name = source.name
    this.#player = new Player(source, this.#queue)
    this.#to('playing', this.#agent)
    this.#player.begin()
  }

  #pause(paused: boolean): void {
    if (!this.#player || (this.#life.state === 'paused') === paused) return
    this.#to(paused ? 'paused' : 'playing', 'the player asked')
    if (paused) this.#player.pause()
    else this.#player.resume()
  }

  /** deleteStream and its kin: the connection may publish or play again. */
  #stop(): void {
    if (this.#publishing) {
      this.#publishing.stream.end('ended')
      this.#publishing = undefined
      this.#write(
        writeStatus(STREAM_ID, 'status', 'NetStream.Unpublish.Success', 'The stream has ended.'),
      )
      this.#to('idle', 'unpublished')
    } else if (this.#player) {
      this.#player.stop()
      this.#player = undefined
      this.#to('idle', 'stopped playing')
    } else if (this.#asking) {
      this.#asking.abort()
      this.#asking = undefined
      this.#to('idle', 'asks no more')
    }
    this.#name = undefined
  }

  /** The stream this player watched has ended and everything was written. */
  #endPlay(): void {
    if (this.#player) this.#finish('the stream ended', this.#player.lastWords(), ENDING_MS, 'info')
  }

  /** All that goes out passes the queue: an answer must not come between the pieces of a frame. */
  #write(bytes: Buffer): void {
    if (this.#life.state !== 'closed') this.#queue.send(bytes)
  }

  #fail(error: unknown): void {
    // What comes behind a refused command is dropped, readable or not: the client may still read why.
    if (this.#life.state === 'closed') return
    const reason = describeError(error)
    if (!(error instanceof NearcastError) || error.code === 'internal') {
      this.close(reason, 'lost', 'error')
    } else if (this.#publishing && error.code.startsWith('media-')) {
      this.#deps.counters.refused.add()
      this.#refuse(STREAM_ID, 'NetStream.Publish.Rejected', reason, 'warn')
    } else {
      this.close(reason, 'lost', 'warn')
    }
  }

  /** A publisher whose stream was given to another: destroyed, because OBS shows LIVE on a half-closed socket. */
  #cut(reason: string): void {
    if (this.#life.state === 'closed') return
    this.#deps.gate.displaced({ name: this.#name ?? '', backup: this.#backup }, this.address)
    this.#socket.write(writeStatus(STREAM_ID, 'error', 'NetStream.Publish.BadName', reason))
    this.close(reason, 'replaced')
  }

  /** Says why and closes: what the client still sends is read and dropped, or a reset would overtake the reason. */
  #refuse(
    streamId: number,
    code: `NetStream.${string}`,
    description: string,
    level: Severity = 'info',
  ): void {
    this.#finish(description, writeStatus(streamId, 'error', code, description), LINGER_MS, level)
  }

  #finish(reason: string, lastWords: Buffer, lingerMs: number, level: Severity): void {
    this.#leave(reason, 'lost', level)
    this.#socket.end(lastWords)
    this.#deps.clock.after(lingerMs, () => this.#socket.destroy())
  }

  /** To `closed`, once: the stream it published ends, the stream it played is let go. */
  #leave(reason: string, end: StreamEnd, level: Severity): void {
    if (this.#life.state === 'closed') return
    this.#to('closed', reason, level)
    this.#asking?.abort()
    this.#countDrops()
    this.#player?.stop()
    this.#publishing?.stream.end(end)
  }

  #countDrops(): void {
    const dropped = this.#queue.droppedFrames
    this.#deps.counters.droppedFrames.add(dropped - this.#countedDrops)
    this.#countedDrops = dropped
  }
}
