import { Readable, Writable } from 'node:stream'
import type ffmpeg from 'fluent-ffmpeg'
import { FlvFileReader } from '../formats/flv/flv-file-reader.ts'
import type { Clock } from '../lib/clock.ts'
import { describeError, NearcastError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { LiveStream, StreamEnd } from '../stream/live-stream.ts'
import type { StreamRegistry } from '../stream/registry.ts'
import { type FfmpegOptions, newCommand } from './ffmpeg.ts'
import { type ListedSource, listOptions, writeSourceList } from './source-list.ts'

/** What ffmpeg reads, and the stream it becomes. */
export interface FfmpegSource extends ListedSource {
  readonly name: string
  /** For logs and the API; with no secret in it. */
  readonly description: string
  /** Of ffmpeg's reading, whatever the address is. */
  readonly inputOptions: readonly string[]
  /** It takes no other publisher's place. */
  readonly yields?: boolean | undefined
  /** What must be in no line and no answer. */
  readonly secrets: readonly string[]
}

export interface FfmpegPublisherDeps {
  readonly registry: StreamRegistry
  readonly ffmpeg: FfmpegOptions
  readonly clock: Clock
  readonly log: Log
}

export interface FfmpegPublisherHooks {
  /** The first frame came. */
  onLive(): void
  /** Once, when ffmpeg has gone; `reason` names no secret. */
  onOver(reason: string): void
}

const SENTENCE_CHARS = 300

/** One run of ffmpeg whose FLV is published here as it is, nothing encoded again, from its first frame to its end. */
export class FfmpegPublisher {
  readonly #source: FfmpegSource
  readonly #deps: FfmpegPublisherDeps
  readonly #hooks: FfmpegPublisherHooks
  readonly #command: ffmpeg.FfmpegCommand
  #stream: LiveStream | undefined
  /** Why it is being ended from here. */
  #stopped: string | undefined
  #over = false

  constructor(source: FfmpegSource, deps: FfmpegPublisherDeps, hooks: FfmpegPublisherHooks) {
    this.#source = source
    this.#deps = deps
    this.#hooks = hooks
    const reader = new FlvFileReader({
      onTracks: (tracks) => this.#publish().setTracks(tracks),
      onFrame: (frame) => this.#stream?.write(frame),
      onTrouble: (reason) =>
        deps.log.warn('a source sends what is left out', { stream: source.name, reason }),
    })
    const output = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        try {
          if (this.#stopped === undefined) reader.push(chunk)
        } catch (error) {
          this.#stop(describeError(error), 'lost')
        }
        done()
      },
    })
    this.#command = newCommand(deps.ffmpeg)
      .input(Readable.from([writeSourceList(source)]))
      .inputOptions([...source.inputOptions, ...listOptions(source)])
      .outputOptions(['-map 0:v:0?', '-map 0:a:0?', '-c copy', '-flush_packets 1'])
      .outputOptions(['-flvflags no_duration_filesize'])
      .format('flv')
      .output(output)
      // It asks ffmpeg for its formats first; a kill during that finds no process.
      .on('start', () => this.#stopped !== undefined && this.#kill())
      .on('error', (error) => this.#end(describeError(error)))
      .on('end', () => this.#end('the source ended'))
    this.#command.run()
  }

  stop(reason: string): void {
    this.#stop(reason, 'stopped')
  }

  /** The stream begins with its tracks: until then it takes nobody's place. */
  #publish(): LiveStream {
    if (this.#stream) return this.#stream
    const { name, description, yields } = this.#source
    if (yields && this.#deps.registry.get(name))
      throw new NearcastError('conflict', `somebody else sends ${name}`)
    this.#stream = this.#deps.registry.publish(name, {
      description,
      cut: (reason) => this.#stop(reason, 'replaced'),
      mayPublish: () => true,
    })
    this.#hooks.onLive()
    return this.#stream
  }

  #stop(reason: string, end: StreamEnd): void {
    if (this.#stopped !== undefined || this.#over) return
    this.#stopped = reason
    this.#stream?.end(end)
    this.#kill()
  }

  #kill(): void {
    this.#command.kill('SIGKILL')
  }

  #end(reason: string): void {
    if (this.#over) return
    this.#over = true
    this.#stream?.end('lost')
    const said = this.#stopped ?? explain(reason).replaceAll('pipe:0', this.#source.description)
    const clean = this.#source.secrets.reduce((text, secret) => text.replaceAll(secret, '…'), said)
    this.#hooks.onOver(clean.slice(0, SENTENCE_CHARS))
  }
}

/** What fluent-ffmpeg makes of ffmpeg's last lines, in words for who can change something. */
function explain(text: string): string {
  if (/could not write header|not compatible with flv|Function not implemented/i.test(text))
    return 'its codecs cannot be taken as they are: H.264 with AAC or MP3 can (HEVC with ffmpeg 6.1 or newer)'
  if (/cannot find ffmpeg|spawn .*ENOENT|exited with code 127/i.test(text))
    return 'ffmpeg was not found; install it or set FFMPEG_PATH'
  return text
}
