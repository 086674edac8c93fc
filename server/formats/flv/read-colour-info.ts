import type { Chromaticity, ColourInfo } from '../../codecs/colour.ts'
import { type AmfObject, type AmfValue, readAmf0 } from './amf0.ts'

/** Above what ST 2084 can say no screen and no picture is. */
const LUMINANCE_MAX = 10_000

/**
 * `colorInfo` of a metadata frame (Enhanced RTMP v2, "Metadata Frame"): each one replaces the one before, and one of nothing
 * (undefined, {}) takes it back. undefined when the frame does not speak of it. Values that can't be are left out. Throws
 * `bad-request` or `limit-exceeded` for what is no AMF0.
 */
export function readColourInfo(data: Uint8Array): ColourInfo | undefined {
  const values = readAmf0(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
  let found: ColourInfo | undefined
  for (let at = 0; at + 1 < values.length; at += 2)
    if (values[at] === 'colorInfo') found = colourInfoOf(objectOf(values[at + 1]))
  return found
}

function colourInfoOf(info: AmfObject | undefined): ColourInfo {
  return {
    colour: colourOf(objectOf(info?.get('colorConfig'))),
    mastering: masteringOf(objectOf(info?.get('hdrMdcv'))),
    contentLight: contentLightOf(objectOf(info?.get('hdrCll'))),
  }
}

function colourOf(config: AmfObject | undefined): ColourInfo['colour'] {
  const primaries = codePoint(config?.get('colorPrimaries'))
  const transfer = codePoint(config?.get('transferCharacteristics'))
  const matrix = codePoint(config?.get('matrixCoefficients'))
  if (primaries === undefined && transfer === undefined && matrix === undefined) return undefined
  return {
    primaries: primaries ?? UNSPECIFIED,
    transfer: transfer ?? UNSPECIFIED,
    matrix: matrix ?? UNSPECIFIED,
  }
}

/** H.273 */
const UNSPECIFIED = 2

function masteringOf(mdcv: AmfObject | undefined): ColourInfo['mastering'] {
  const red = chromaticity(mdcv?.get('redX'), mdcv?.get('redY'))
  const green = chromaticity(mdcv?.get('greenX'), mdcv?.get('greenY'))
  const blue = chromaticity(mdcv?.get('blueX'), mdcv?.get('blueY'))
  const white = chromaticity(mdcv?.get('whitePointX'), mdcv?.get('whitePointY'))
  const maxLuminance = within(mdcv?.get('maxLuminance'), 0, LUMINANCE_MAX)
  const minLuminance = within(mdcv?.get('minLuminance'), 0, LUMINANCE_MAX)
  if (!red || !green || !blue || !white) return undefined
  if (maxLuminance === undefined || minLuminance === undefined || maxLuminance <= minLuminance)
    return undefined
  return { red, green, blue, white, maxLuminance, minLuminance }
}

function contentLightOf(cll: AmfObject | undefined): ColourInfo['contentLight'] {
  const maxCll = within(cll?.get('maxCLL'), 0, LUMINANCE_MAX)
  const maxFall = within(cll?.get('maxFall'), 0, LUMINANCE_MAX)
  // CTA-861.3 Annex P: 0 says that it is unknown.
  if (!maxCll && !maxFall) return undefined
  return { maxCll: maxCll ?? 0, maxFall: maxFall ?? 0 }
}

function chromaticity(x: AmfValue, y: AmfValue): Chromaticity | undefined {
  const point = [within(x, 0.0001, 1), within(y, 0.0001, 1)] as const
  return point[0] === undefined || point[1] === undefined ? undefined : [point[0], point[1]]
}

function codePoint(value: AmfValue): number | undefined {
  const found = within(value, 0, 255)
  return Number.isInteger(found) ? found : undefined
}

function within(value: AmfValue, least: number, most: number): number | undefined {
  return typeof value === 'number' && value >= least && value <= most ? value : undefined
}

function objectOf(value: AmfValue): AmfObject | undefined {
  return value instanceof Map ? value : undefined
}
