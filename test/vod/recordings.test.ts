import fc from 'fast-check'
import { expect, test } from 'vitest'
import type {
  RecordedFacts,
  RecordedSegment,
  RecordingIndex,
} from '../../server/formats/recording/recording-index.ts'
import { readPlaylist } from '../../server/formats/m3u8/read-playlist.ts'
import { parseRecordingAddress } from '../../server/vod/recording-address.ts'
import { writeRecordedMaster, writeRecordedMedia } from '../../server/vod/recording-playlists.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const PICTURE: RecordedFacts = {
  kind: 'video',
  codecString: 'avc1.64001f',
  width: 1280,
  height: 720,
  channels: 0,
  language: '',
}
const SOUND: RecordedFacts = {
  kind: 'audio',
  codecString: 'mp4a.40.2',
  width: 0,
  height: 0,
  channels: 2,
  language: 'und',
}

function segment(sequence: number, more: Partial<RecordedSegment> = {}): RecordedSegment {
  return {
    sequence,
    epoch: 'e1',
    init: 'e1/video-init-1.mp4',
    startedAt: sequence * 1000,
    discontinuity: false,
    discontinuitySequence: 2,
    seconds: 1,
    bytes: 125_000,
    samples: 30,
    independent: true,
    gap: false,
    ...more,
  }
}

function indexOf(
  segments: readonly RecordedSegment[],
  { facts = PICTURE, ended = false }: { facts?: RecordedFacts; ended?: boolean } = {},
): RecordingIndex {
  return { stream: 'main', startedAt: 0, ended, renditions: [{ id: 'video', facts, segments }] }
}

async function mediaOf(index: RecordingIndex, skip = false) {
  const [rendition] = index.renditions
  if (!rendition) throw new Error('no rendition')
  const text = await writeRecordedMedia(index, rendition, skip)
  const playlist = readPlaylist(text)
  if (playlist.kind !== 'media') throw new Error('no media playlist')
  return { text, playlist }
}

const run = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => segment(from + i))

test('numbers that were never written are gaps, and the date stands behind them (rfc8216bis §4.4.3.2, §4.4.4.7)', async () => {
  const { playlist } = await mediaOf(indexOf([segment(7), segment(10)]))
  expect(playlist.mediaSequence).toBe(7)
  expect(playlist.discontinuitySequence).toBe(2)
  expect(playlist.segments.map(({ gap, durationSeconds }) => [gap, durationSeconds])).toEqual([
    [false, 1],
    [true, 1],
    [true, 1],
    [false, 1],
  ])
  expect(playlist.segments.map(({ startedAt }) => startedAt)).toEqual([
    7000,
    undefined,
    undefined,
    10_000,
  ])
})

test('an index whose numbers make no sense makes no playlist without end', async () => {
  const wild = Array.from({ length: 50 }, (_, i) => segment((i + 1) * 1e12, { startedAt: i }))
  const { playlist } = await mediaOf(indexOf([...wild, segment(3)]))
  expect(playlist.segments.length).toBe(10_051)
})

test('a publisher that came back is a discontinuity with its init section and date', async () => {
  const again = segment(9, {
    discontinuity: true,
    discontinuitySequence: 3,
    epoch: 'e2',
    init: 'e2/video-init-1.mp4',
    startedAt: 60_000,
  })
  const { text } = await mediaOf(indexOf([segment(8), again], { ended: true }))
  expect(text.slice(text.indexOf('#EXT-X-DISCONTINUITY\n'))).toBe(
    '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="e2/video-init-1.mp4"\n' +
      '#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:01:00.000Z\n#EXTINF:1,\ne2/video-9.m4s\n#EXT-X-ENDLIST\n',
  )
})

test('a delta update skips what is older than six target durations and keeps the init section (§6.2.5.1)', async () => {
  const index = indexOf(run(0, 40))
  const full = (await mediaOf(index)).playlist
  const { text, playlist } = await mediaOf(index, true)
  expect(full.serverControl['CAN-SKIP-UNTIL']).toBe('6')
  expect(playlist.version).toBe(9)
  expect(playlist.skippedSegments).toBe(33)
  expect(playlist.segments.map(({ uri }) => uri)).toEqual(
    full.segments.slice(33).map(({ uri }) => uri),
  )
  expect(text).toContain('#EXT-X-MAP:URI="e1/video-init-1.mp4"')
  const ended = await mediaOf({ ...index, ended: true }, true)
  expect(ended.playlist.skippedSegments).toBe(0)
})

test('lines that were written are kept while a recording grows, and a segment that is lost later is a gap', async () => {
  const segments = run(0, 5)
  const before = (await mediaOf(indexOf(segments))).text
  segments.push(segment(5))
  const after = (await mediaOf(indexOf(segments))).text
  expect(after.startsWith(before)).toBe(true)
  segments[2] = segment(2, { gap: true })
  const { playlist } = await mediaOf(indexOf(segments))
  expect(playlist.segments.map(({ gap }) => gap)).toEqual([false, false, true, false, false, false])
})

test('the multivariant playlist lists what has media: pictures with the sounds beside them', () => {
  const audio = { id: 'audio', facts: SOUND, segments: run(0, 3) }
  const rung = { id: 'v360', facts: PICTURE, segments: [] }
  const index = indexOf(run(0, 3), { ended: true })
  const text = writeRecordedMaster({ ...index, renditions: [...index.renditions, rung, audio] })
  expect(text).toContain('BANDWIDTH=2000000,AVERAGE-BANDWIDTH=2000000')
  expect(text).toContain('CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=30.000')
  expect(text).toContain('NAME="Audio"')
  expect(text).not.toContain('v360')
  const alone = writeRecordedMaster({ ...index, renditions: [audio] })
  expect(alone).not.toContain('EXT-X-MEDIA:')
  expect(alone).toContain('audio.m3u8')
})

test('no path leads out of the folder of its recording', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string({
          unit: fc.constantFrom('/', '.', '..', 'e1', 'clips', '-1.m4s', '%2e', 'video'),
        }),
      ),
      (tail) => {
        const address = parseRecordingAddress(`/vod/recordings/main/20260101T000000Z/${tail}`)
        if (!address) return
        expect(address.key).toBe('recordings/main/20260101T000000Z')
        if (address.kind === 'init') expect(address.uri).toMatch(/^[a-z0-9]+\/[a-z0-9-]+\.mp4$/)
        if (address.kind === 'segment') expect(address.epoch).toMatch(/^[a-z0-9]+$/)
      },
    ),
    { numRuns: FUZZ_RUNS },
  )
  expect(parseRecordingAddress('/vod/recordings/../20260101T000000Z/index.m3u8')).toBeUndefined()
  expect(parseRecordingAddress('/vod/recordings/a/clips/../index.m3u8')).toBeUndefined()
})
