import type { VideoRange } from '../../codecs/colour.ts'
import { quoted } from './quoted.ts'

/** One EXT-X-STREAM-INF (rfc8216bis §4.4.6.2). Bits a second; frames a second. */
export interface Variant {
  readonly uri: string
  readonly bandwidth: number
  readonly averageBandwidth: number
  readonly codecs: readonly string[]
  readonly resolution: { readonly width: number; readonly height: number } | undefined
  readonly frameRate: number | undefined
  /** undefined where it is not known; players take that for SDR. */
  readonly videoRange?: VideoRange | undefined
  /** GROUP-ID of its audio renditions. */
  readonly audio: string | undefined
}

/** One EXT-X-MEDIA of TYPE=AUDIO (§4.4.6.1). */
export interface AudioRendition {
  readonly groupId: string
  readonly name: string
  readonly uri: string
  readonly channels: number
  readonly isDefault: boolean
  /** BCP 47; undefined when unknown. */
  readonly language: string | undefined
}

export interface Multivariant {
  readonly version: number
  /** True only when each segment of each rendition can be decoded by itself (§4.4.2.1). */
  readonly independentSegments: boolean
  readonly audio: readonly AudioRendition[]
  readonly variants: readonly Variant[]
}

export function writeMultivariant(playlist: Multivariant): string {
  let text = `#EXTM3U\n#EXT-X-VERSION:${playlist.version}\n`
  if (playlist.independentSegments) text += '#EXT-X-INDEPENDENT-SEGMENTS\n'
  for (const audio of playlist.audio) text += writeAudio(audio)
  for (const variant of playlist.variants) text += writeVariant(variant)
  return text
}

function writeAudio(audio: AudioRendition): string {
  const language = audio.language === undefined ? '' : `,LANGUAGE=${quoted(audio.language)}`
  const standard = audio.isDefault ? 'YES' : 'NO'
  return (
    `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=${quoted(audio.groupId)},NAME=${quoted(audio.name)}${language},` +
    `DEFAULT=${standard},AUTOSELECT=YES,CHANNELS="${audio.channels}",URI=${quoted(audio.uri)}\n`
  )
}

function writeVariant(variant: Variant): string {
  const attributes = [
    `BANDWIDTH=${Math.ceil(variant.bandwidth)}`,
    `AVERAGE-BANDWIDTH=${Math.ceil(variant.averageBandwidth)}`,
    `CODECS=${quoted(variant.codecs.join(','))}`,
  ]
  if (variant.resolution)
    attributes.push(`RESOLUTION=${variant.resolution.width}x${variant.resolution.height}`)
  if (variant.frameRate !== undefined) attributes.push(`FRAME-RATE=${variant.frameRate.toFixed(3)}`)
  if (variant.videoRange !== undefined) attributes.push(`VIDEO-RANGE=${variant.videoRange}`)
  if (variant.audio !== undefined) attributes.push(`AUDIO=${quoted(variant.audio)}`)
  return `#EXT-X-STREAM-INF:${attributes.join(',')}\n${variant.uri}\n`
}
