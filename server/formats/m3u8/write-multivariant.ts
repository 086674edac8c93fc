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
  /** GROUP-ID of its closed captions; undefined where none were seen, which does not say that there are none. */
  readonly closedCaptions?: string | undefined
}

/** One EXT-X-MEDIA of TYPE=CLOSED-CAPTIONS (§4.4.6.1): a channel in the pictures. */
export interface CaptionRendition {
  readonly groupId: string
  readonly name: string
  /** CC1 to CC4, SERVICE1 to SERVICE63. */
  readonly instreamId: string
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
  readonly closedCaptions?: readonly CaptionRendition[] | undefined
  readonly variants: readonly Variant[]
}

export function writeMultivariant(playlist: Multivariant): string {
  let text = `#EXTM3U\n#EXT-X-VERSION:${playlist.version}\n`
  if (playlist.independentSegments) text += '#EXT-X-INDEPENDENT-SEGMENTS\n'
  for (const audio of playlist.audio) text += writeAudio(audio)
  for (const captions of playlist.closedCaptions ?? []) text += writeCaptions(captions)
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

/** §4.4.6.1: without a URI, the media is in the variants. */
function writeCaptions({ groupId, name, instreamId }: CaptionRendition): string {
  return (
    `#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=${quoted(groupId)},NAME=${quoted(name)},` +
    `DEFAULT=NO,AUTOSELECT=YES,INSTREAM-ID=${quoted(instreamId)}\n`
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
  if (variant.closedCaptions !== undefined)
    attributes.push(`CLOSED-CAPTIONS=${quoted(variant.closedCaptions)}`)
  return `#EXT-X-STREAM-INF:${attributes.join(',')}\n${variant.uri}\n`
}
