import { parseAudioSpecificConfig } from '../../codecs/aac.ts'
import { readAc3Frame, readEac3Frame } from '../../codecs/ac3.ts'
import { flacConfigOf, flacSamples, parseFlacConfig } from '../../codecs/flac.ts'
import { readMp3Header } from '../../codecs/mp3.ts'
import { opusConfigOfHead, opusSamples, parseOpusConfig } from '../../codecs/opus.ts'
import type { AudioCodec, AudioTrack } from '../../codecs/track.ts'
import { NearcastError } from '../../lib/errors.ts'
import { FLV_TIMESCALE } from './video-source.ts'

type Described = Pick<AudioTrack, 'codecString' | 'config' | 'sampleRate' | 'channels'>

/** One audio track of a publisher: of codecs with a sequence header what that says, of the others what their frames say. */
export class AudioSource {
  readonly #id: number
  #track: AudioTrack | undefined

  constructor(id: number) {
    this.#id = id
  }

  /** undefined until all that a decoder needs is known; another object whenever it changes. */
  get track(): AudioTrack | undefined {
    return this.#track
  }

  /** False where nothing changes. Throws `media-broken` or `media-unsupported` for a header nobody can decode. */
  configure(codec: AudioCodec, bytes: Uint8Array): boolean {
    const described = describeHeader(codec, bytes)
    return described !== undefined && this.#become(codec, described)
  }

  /** False for a frame that no decoder could read, or that came before its header. May make or change the track. */
  take(codec: AudioCodec, data: Uint8Array): boolean {
    if (codec === 'mp3' || codec === 'ac3' || codec === 'eac3') {
      const described = describeFrame(codec, data)
      if (described) this.#become(codec, described)
      return described !== undefined
    }
    if (this.#track?.codec !== codec) return false
    if (codec === 'opus') return opusSamples(data) !== undefined
    return codec !== 'flac' || flacSamples(data) !== undefined
  }

  #become(codec: AudioCodec, described: Described): boolean {
    const known = this.#track
    const same =
      known?.codec === codec &&
      known.sampleRate === described.sampleRate &&
      known.channels === described.channels &&
      Buffer.compare(steady(codec, known.config), steady(codec, described.config)) === 0
    if (same) return false
    this.#track = {
      id: this.#id,
      kind: 'audio',
      codec,
      timescale: FLV_TIMESCALE,
      language: 'und',
      ...described,
    }
    return true
  }
}

/** dec3 begins with the data rate, which goes up and down from frame to frame. */
function steady(codec: AudioCodec, config: Uint8Array): Uint8Array {
  return codec === 'eac3' ? config.subarray(2) : config
}

/** undefined for what is no decoder configuration: Opus' comment header, and headers of codecs that need none. */
function describeHeader(codec: AudioCodec, bytes: Uint8Array): Described | undefined {
  switch (codec) {
    case 'aac': {
      const { codecString, sampleRate, channels } = parseAudioSpecificConfig(bytes)
      return { codecString, config: Uint8Array.from(bytes), sampleRate, channels }
    }
    case 'opus': {
      const config = opusConfigOfHead(bytes)
      if (!config && bytes.length === 0)
        throw new NearcastError('media-broken', 'OpusHead has 0 bytes, needs 19')
      if (!config) return undefined
      const { channels } = parseOpusConfig(config)
      return { codecString: 'opus', config, sampleRate: 48_000, channels }
    }
    case 'flac': {
      const config = flacConfigOf(bytes)
      const { sampleRate, channels } = parseFlacConfig(config)
      return { codecString: 'fLaC', config, sampleRate, channels }
    }
    case 'mp3':
    case 'ac3':
    case 'eac3':
      return undefined
  }
}

function describeFrame(codec: 'mp3' | 'ac3' | 'eac3', data: Uint8Array): Described | undefined {
  if (codec === 'mp3') {
    const header = readMp3Header(data)
    if (!header) return undefined
    const { sampleRate, channels } = header
    return { codecString: 'mp4a.6B', config: NOTHING, sampleRate, channels }
  }
  try {
    const { config, sampleRate, channels } =
      codec === 'ac3' ? readAc3Frame(data) : readEac3Frame(data)
    return { codecString: codec === 'ac3' ? 'ac-3' : 'ec-3', config, sampleRate, channels }
  } catch (error) {
    if (error instanceof NearcastError) return undefined
    throw error
  }
}

const NOTHING = new Uint8Array(0)
