import { parseAudioSpecificConfig } from './aac.ts'
import type { AudioTrack } from './track.ts'

/** One frame that is heard as nothing, for as long as a frame of the track lasts; undefined where none is prepared. */
export function silentFrame(track: AudioTrack): Uint8Array | undefined {
  return track.codec === 'aac' ? silentAac(track.config) : undefined
}

const ELEMENT = { single: 0, pair: 1, lfe: 3, end: 7 } as const
type Element = keyof typeof ELEMENT

/** ISO/IEC 14496-3 table 1.19: the elements of an access unit, by number of coded channels. */
const ELEMENTS: Readonly<Record<number, readonly Element[]>> = {
  1: ['single'],
  2: ['pair'],
  3: ['single', 'pair'],
  4: ['single', 'pair', 'single'],
  5: ['single', 'pair', 'pair'],
  6: ['single', 'pair', 'pair', 'lfe'],
  8: ['single', 'pair', 'pair', 'pair', 'lfe'],
}
const PARAMETRIC_STEREO = 29

function silentAac(config: Uint8Array): Uint8Array | undefined {
  const { objectType, channels } = parseAudioSpecificConfig(config)
  const elements = ELEMENTS[objectType === PARAMETRIC_STEREO ? 1 : channels]
  if (!elements) return undefined
  const tags = new Map<Element, number>()
  let bits = ''
  for (const element of elements) {
    const tag = tags.get(element) ?? 0
    tags.set(element, tag + 1)
    bits += binary(ELEMENT[element], 3) + binary(tag, 4)
    // §4.4.2.1: a pair shares its window (common_window) and says that no band is mid/side (ms_mask_present).
    if (element === 'pair') bits += `1${ICS_INFO}00${stream('')}${stream('')}`
    else bits += stream(ICS_INFO)
  }
  bits += binary(ELEMENT.end, 3)
  const bytes = bits.padEnd(Math.ceil(bits.length / 8) * 8, '0').match(/.{8}/g) ?? []
  return Uint8Array.from(bytes, (byte) => Number.parseInt(byte, 2))
}

/** One long window, no scale factor band, no prediction: reserved, window_sequence, window_shape, max_sfb, predictor. */
const ICS_INFO = `0${binary(0, 2)}0${binary(0, 6)}0`

/** individual_channel_stream: a gain that scales nothing; neither pulses, noise shaping nor gain control. */
function stream(info: string): string {
  return `${binary(0, 8)}${info}000`
}

function binary(value: number, length: number): string {
  return value.toString(2).padStart(length, '0')
}
