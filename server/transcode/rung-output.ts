import { createServer, type Server, type Socket } from 'node:net'
import type { Frame } from '../codecs/frame.ts'
import type { VideoTrack } from '../codecs/track.ts'
import { FlvFileReader } from '../formats/flv/flv-file-reader.ts'
import { describeError } from '../lib/errors.ts'

export interface RungOutputSink {
  onTrack(track: VideoTrack): void
  onFrame(frame: Frame): void
  /** It sends what is no FLV of H.264. */
  onBroken(reason: string): void
}

/** Where an encoder brings one rung: a socket that it connects to, once. */
export class RungOutput {
  readonly #server: Server
  #socket: Socket | undefined

  private constructor(server: Server, sink: RungOutputSink) {
    this.#server = server
    server.on('connection', (socket) => {
      socket.on('error', () => {})
      if (this.#socket) {
        socket.destroy()
        return
      }
      this.#socket = socket
      readFlv(socket, sink)
    })
  }

  /** Rejects when there can be no socket of this name. */
  static open(path: string, sink: RungOutputSink): Promise<RungOutput> {
    return new Promise((resolve, reject) => {
      const server = createServer()
      const output = new RungOutput(server, sink)
      server.once('error', reject)
      server.listen(path, () => {
        server.off('error', reject)
        server.on('error', () => {})
        resolve(output)
      })
    })
  }

  close(): void {
    this.#socket?.destroy()
    this.#server.close()
  }
}

function readFlv(socket: Socket, sink: RungOutputSink): void {
  const reader = new FlvFileReader({
    onTracks: (tracks) => {
      const track = tracks.find((one) => one.kind === 'video')
      if (track) sink.onTrack(track)
    },
    onFrame: (frame) => sink.onFrame(frame),
  })
  socket.on('data', (piece) => {
    try {
      reader.push(piece)
    } catch (error) {
      socket.destroy()
      sink.onBroken(describeError(error))
    }
  })
}
