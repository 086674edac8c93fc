import type { VideoTrack } from '../../codecs/track.ts'
import { NearcastError } from '../../lib/errors.ts'
import { finish, type Steps } from '../../lib/in-turns.ts'
import { type Box, broken, FieldReader, findBox, readBoxes } from './read-boxes.ts'
import { readSampleEntry, type SampleDescription } from './read-sample-entry.ts'
import { readSampleTable, TableMemory } from './read-tables.ts'
import { EMPTY_TABLE, type SampleTable } from './sample-table.ts'

/** A `moov` box (ISO/IEC 14496-12 §8.2.1). */
export interface Movie {
  readonly tracks: readonly MovieTrack[]
  /** By track; undefined: the movie has no `mvex`, so there are no fragments. */
  readonly fragmentDefaults: ReadonlyMap<number, FragmentDefaults> | undefined
}

export interface MovieTrack {
  readonly id: number
  /** `vide`, `soun`, `text`… */
  readonly handler: string
  /** To be played unless the viewer chooses otherwise. */
  readonly enabled: boolean
  /** Ticks a second; 1 for a refused track that has none. */
  readonly timescale: number
  /** BCP 47. */
  readonly language: string
  readonly rotation: VideoTrack['rotation']
  readonly edit: Edit
  /** At least one; what can't be read is `refused`. */
  readonly descriptions: readonly [SampleDescription, ...SampleDescription[]]
  readonly samples: SampleTable
}

/** An edit list in ticks of its track: wait `delay`, then play the media from `start` to `end`. */
export interface Edit {
  readonly delay: number
  readonly start: number
  readonly end: number
}

/** A `trex` box (§8.8.3). */
export interface FragmentDefaults {
  readonly description: number
  readonly duration: number
  readonly size: number
  readonly flags: number
}

const NO_EDIT: Edit = { delay: 0, start: 0, end: Number.POSITIVE_INFINITY }
/** A fragmented file's movie header and players read it as a signed number. */
const TIMESCALE_MAX = 2 ** 31 - 1
/** More tracks than any film has; each costs a walk through its boxes. */
const TRACKS_MAX = 64

/** Reads a whole `moov` box that begins at 0. A broken track is refused alone; throws `media-broken` when there is no movie. */
export function readMovie(bytes: Uint8Array): Movie {
  return finish(readMovieInSteps(bytes))
}

/** The same with stops: hours of film take a second. */
export function* readMovieInSteps(bytes: Uint8Array): Steps<Movie> {
  const moov = readBoxes(bytes).find((box) => box.type === 'moov')
  if (moov === undefined) throw broken('the index (moov) is damaged')
  const boxes = readBoxes(bytes, moov.body, moov.end)
  if (boxes.some((box) => box.type === 'cmov')) {
    throw new NearcastError(
      'media-unsupported',
      'the index (moov) is compressed, as QuickTime once did',
    )
  }
  const movieTimescale = readMovieTimescale(bytes, boxes)
  const mvex = boxes.find((box) => box.type === 'mvex')
  const memory = new TableMemory(bytes.length)
  const tracks: MovieTrack[] = []
  for (const trak of boxes.filter((box) => box.type === 'trak').slice(0, TRACKS_MAX)) {
    tracks.push(yield* readTrack(bytes, trak, { index: tracks.length, movieTimescale, memory }))
    yield
  }
  return { tracks, fragmentDefaults: mvex && readFragmentDefaults(bytes, mvex) }
}

function readMovieTimescale(bytes: Uint8Array, boxes: readonly Box[]): number {
  const mvhd = boxes.find((box) => box.type === 'mvhd')
  if (mvhd === undefined) return 0
  const fields = new FieldReader(bytes, mvhd)
  fields.skip(fields.fullBox().version === 1 ? 16 : 8)
  return fields.uint32()
}

interface TrackPlace {
  readonly index: number
  readonly movieTimescale: number
  readonly memory: TableMemory
}

function* readTrack(
  bytes: Uint8Array,
  trak: Box,
  { index, movieTimescale, memory }: TrackPlace,
): Steps<MovieTrack> {
  const handler = readHandler(bytes, trak)
  const head = readTrackHeader(bytes, trak, index + 1)
  const refused = (reason: string): MovieTrack => ({
    ...head,
    handler,
    timescale: 1,
    language: 'und',
    edit: NO_EDIT,
    descriptions: [{ kind: 'refused', code: 'media-broken', name: 'a damaged track', reason }],
    samples: EMPTY_TABLE,
  })
  try {
    const mdhd = findBox(bytes, trak, 'mdia', 'mdhd')
    if (mdhd === undefined) return refused('the track has no mdhd')
    const { timescale, language } = readMediaHeader(bytes, mdhd)
    if (timescale === 0 || timescale > TIMESCALE_MAX) {
      return refused(`the track has timescale ${timescale}`)
    }
    yield
    const stbl = findBox(bytes, trak, 'mdia', 'minf', 'stbl')
    if (stbl === undefined) return refused('the track has no stbl')
    const media = handler === 'vide' || handler === 'soun'
    yield
    const descriptions = media ? yield* readDescriptions(bytes, stbl, handler, memory) : OTHER_KIND
    const elng = findBox(bytes, trak, 'mdia', 'elng')
    return {
      ...head,
      handler,
      timescale,
      language: (elng && readExtendedLanguage(bytes, elng)) ?? language,
      edit: readEdit(bytes, findBox(bytes, trak, 'edts', 'elst'), movieTimescale, timescale),
      descriptions,
      samples: descriptions.every(({ kind }) => kind === 'refused')
        ? EMPTY_TABLE
        : yield* readSampleTable(bytes, stbl, memory),
    }
  } catch (error) {
    if (!(error instanceof NearcastError)) throw error
    return refused(error.sentence)
  }
}

const OTHER_KIND: MovieTrack['descriptions'] = [
  {
    kind: 'refused',
    code: 'media-unsupported',
    name: 'a track of another kind',
    reason: 'only video and audio tracks are played',
  },
]

function readHandler(bytes: Uint8Array, trak: Box): string {
  const hdlr = findBox(bytes, trak, 'mdia', 'hdlr')
  if (hdlr === undefined || hdlr.end - hdlr.body < 12) return ''
  const fields = new FieldReader(bytes, hdlr)
  fields.skip(8)
  return fields.fourcc()
}

function readTrackHeader(
  bytes: Uint8Array,
  trak: Box,
  fallbackId: number,
): Pick<MovieTrack, 'id' | 'enabled' | 'rotation'> {
  const tkhd = findBox(bytes, trak, 'tkhd')
  if (tkhd === undefined || tkhd.end - tkhd.body < 76) {
    return { id: fallbackId, enabled: true, rotation: 0 }
  }
  const fields = new FieldReader(bytes, tkhd)
  const { version, flags } = fields.fullBox()
  fields.skip(version === 1 ? 16 : 8)
  const id = fields.uint32()
  fields.skip(version === 1 ? 12 : 8)
  fields.skip(16)
  const enabled = (flags & 1) !== 0
  if (fields.left < 20) return { id, enabled, rotation: 0 }
  const a = fields.int32()
  const b = fields.int32()
  fields.skip(4)
  const c = fields.int32()
  const d = fields.int32()
  return { id, enabled, rotation: rotationOf(a, b, c, d) }
}

/** §6.2.2: (a b; c d) turns the picture clockwise; anything but the four right angles is shown as it is. */
function rotationOf(a: number, b: number, c: number, d: number): VideoTrack['rotation'] {
  if (a === 0 && d === 0 && b > 0 && c < 0) return 90
  if (b === 0 && c === 0 && a < 0 && d < 0) return 180
  if (a === 0 && d === 0 && b < 0 && c > 0) return 270
  return 0
}

function readMediaHeader(
  bytes: Uint8Array,
  mdhd: Box,
): { readonly timescale: number; readonly language: string } {
  const fields = new FieldReader(bytes, mdhd)
  const { version } = fields.fullBox()
  fields.skip(version === 1 ? 16 : 8)
  const timescale = fields.uint32()
  fields.skip(version === 1 ? 8 : 4)
  const packed = fields.left >= 2 ? fields.uint16() : 0
  return { timescale, language: unpackLanguage(packed) }
}

/** §8.4.2.3: three letters of ISO 639-2 in five bits each. Below 0x400 it is one of QuickTime's numbers, mostly wrong. */
function unpackLanguage(packed: number): string {
  if (packed < 0x400) return 'und'
  const letter = (shift: number) => String.fromCharCode(0x60 + ((packed >> shift) & 31))
  return canonicalLanguage(`${letter(10)}${letter(5)}${letter(0)}`)
}

function readExtendedLanguage(bytes: Uint8Array, elng: Box): string | undefined {
  const text = String.fromCharCode(
    ...bytes.subarray(elng.body + 4, Math.min(elng.end, elng.body + 64)),
  )
  const language = canonicalLanguage(text.split('\0')[0] ?? '')
  return language === 'und' ? undefined : language
}

function canonicalLanguage(tag: string): string {
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? 'und'
  } catch {
    return 'und'
  }
}

function* readDescriptions(
  bytes: Uint8Array,
  stbl: Box,
  handler: string,
  memory: TableMemory,
): Steps<MovieTrack['descriptions']> {
  const stsd = findBox(bytes, stbl, 'stsd')
  if (stsd === undefined) throw broken('a track has no stsd')
  const { version } = new FieldReader(bytes, stsd).fullBox()
  const descriptions: SampleDescription[] = []
  for (const entry of readBoxes(bytes, stsd.body + 8, stsd.end).slice(0, 255)) {
    const description = readSampleEntry(bytes, entry, handler, version)
    memory.take(copiedBytes(description), 1)
    descriptions.push(description)
    yield
  }
  const [first, ...others] = descriptions
  if (first === undefined) throw broken('a track has an empty stsd')
  return [first, ...others]
}

function copiedBytes(description: SampleDescription): number {
  if (description.kind === 'refused') return 0
  const entry = description.kind === 'video' ? description.entry.length : 0
  return entry + description.config.length
}

/** An editor's timeline has hundreds. */
const EDITS_MAX = 65_536

/** §8.6.6. Several media edits are played as one span from the first's start to the furthest end. */
function readEdit(
  bytes: Uint8Array,
  elst: Box | undefined,
  movieTimescale: number,
  timescale: number,
): Edit {
  if (elst === undefined || movieTimescale === 0) return NO_EDIT
  const fields = new FieldReader(bytes, elst)
  const { version } = fields.fullBox()
  const count = fields.entryCount(version === 1 ? 20 : 12)
  if (count > EDITS_MAX) throw broken(`an edit list of ${count} edits`)
  const ticks = (duration: number) => (duration / movieTimescale) * timescale
  let delay = 0
  let start: number | undefined
  let end = 0
  for (let i = 0; i < count; i += 1) {
    const duration = version === 1 ? fields.uint64() : fields.uint32()
    const mediaTime = version === 1 ? fields.int64() : fields.int32()
    fields.skip(4)
    if (mediaTime < 0) {
      if (start === undefined) delay += ticks(duration)
      continue
    }
    start ??= mediaTime
    // The duration was rounded to the movie's timescale, which may be coarse: one of its ticks more cuts nothing that is wanted.
    end = Math.max(end, duration === 0 ? Number.POSITIVE_INFINITY : mediaTime + ticks(duration + 1))
  }
  if (start === undefined) return { ...NO_EDIT, delay: Math.round(delay) }
  return { delay: Math.round(delay), start, end }
}

function readFragmentDefaults(bytes: Uint8Array, mvex: Box): Map<number, FragmentDefaults> {
  const defaults = new Map<number, FragmentDefaults>()
  for (const trex of readBoxes(bytes, mvex.body, mvex.end)) {
    if (trex.type !== 'trex') continue
    const fields = new FieldReader(bytes, trex)
    fields.fullBox()
    defaults.set(fields.uint32(), {
      description: fields.uint32(),
      duration: fields.uint32(),
      size: fields.uint32(),
      flags: fields.uint32(),
    })
  }
  return defaults
}
