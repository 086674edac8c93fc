import { describe, expect, test } from 'vitest'
import { readPlaylist } from '../../../server/formats/m3u8/read-playlist.ts'
import {
  END_LIST,
  writeDateRange,
  writePlaylistHead,
  writePlaylistSegment,
  writeSkip,
} from '../../../server/formats/m3u8/write-media-playlist.ts'
import { writeMultivariant } from '../../../server/formats/m3u8/write-multivariant.ts'
import { hasCode } from '../../../server/lib/errors.ts'

describe('a media playlist', () => {
  test('is read as it was written', () => {
    const text =
      writePlaylistHead({
        version: 9,
        targetDurationSeconds: 2,
        mediaSequence: 40,
        discontinuitySequence: 3,
        lowLatency: {
          partTargetSeconds: 0.202,
          partHoldBackSeconds: 0.606,
          canSkipUntilSeconds: 12,
          canSkipDateRanges: true,
        },
      }) +
      writeDateRange({
        id: 'e-1',
        className: 'onCuePoint',
        startedAt: Date.UTC(2026, 0, 2),
        attributes: [
          ['X-NAME', 'a, "b"'],
          ['X-TIME', 12.5],
        ],
      }) +
      writeSkip(5, ['e-0', 'e-2']) +
      writePlaylistSegment({
        uri: 'e/video-45.m4s',
        durationSeconds: 1.0001,
        open: false,
        discontinuity: true,
        gap: false,
        map: 'e/video-init-1.mp4',
        startedAt: Date.UTC(2026, 0, 2),
        parts: [{ uri: 'e/video-45.0.m4s', durationSeconds: 0.2, independent: true }],
      }) +
      END_LIST
    expect(readPlaylist(text)).toEqual({
      kind: 'media',
      version: 9,
      removedDateRanges: ['e-0', 'e-2'],
      dateRanges: [
        {
          ID: 'e-1',
          CLASS: 'onCuePoint',
          'START-DATE': '2026-01-02T00:00:00.000Z',
          DURATION: '0',
          'X-NAME': 'a, b',
          'X-TIME': '12.5',
        },
      ],
      targetDurationSeconds: 2,
      mediaSequence: 40,
      discontinuitySequence: 3,
      endList: true,
      skippedSegments: 5,
      partTargetSeconds: 0.202,
      serverControl: {
        'CAN-BLOCK-RELOAD': 'YES',
        'PART-HOLD-BACK': '0.606',
        'CAN-SKIP-UNTIL': '12',
        'CAN-SKIP-DATERANGES': 'YES',
      },
      preloadHints: [],
      renditionReports: [],
      segments: [
        {
          sequence: 45,
          uri: 'e/video-45.m4s',
          durationSeconds: 1.0001,
          discontinuity: true,
          gap: false,
          map: 'e/video-init-1.mp4',
          startedAt: Date.UTC(2026, 0, 2),
          parts: [{ uri: 'e/video-45.0.m4s', durationSeconds: 0.2, independent: true, gap: false }],
        },
      ],
    })
  })
})

describe('a multivariant playlist', () => {
  test('is read as it was written, and no name breaks out of its quotes', () => {
    const text = writeMultivariant({
      version: 9,
      independentSegments: true,
      audio: [
        {
          groupId: 'audio',
          name: 'a"\n#EXT-X-ENDLIST',
          uri: 'audio.m3u8',
          channels: 2,
          isDefault: true,
          language: undefined,
        },
      ],
      variants: [
        {
          uri: 'video.m3u8',
          bandwidth: 1000.5,
          averageBandwidth: 900,
          codecs: ['avc1.64001f', 'mp4a.40.2'],
          resolution: { width: 640, height: 360 },
          frameRate: 30_000 / 1001,
          audio: 'audio',
        },
      ],
    })
    const read = readPlaylist(text)
    expect(read).toMatchObject({ kind: 'multivariant', independentSegments: true })
    if (read.kind !== 'multivariant') return
    expect(read.media[0]?.['NAME']).toBe('a#EXT-X-ENDLIST')
    expect(read.variants[0]).toEqual({
      uri: 'video.m3u8',
      attributes: {
        BANDWIDTH: '1001',
        'AVERAGE-BANDWIDTH': '900',
        CODECS: 'avc1.64001f,mp4a.40.2',
        RESOLUTION: '640x360',
        'FRAME-RATE': '29.970',
        AUDIO: 'audio',
      },
    })
  })
})

describe('the reader', () => {
  test('§4.1: a comment between a variant and its URI is no URI', () => {
    const text = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1, CODECS="a,b"\n# sd\nsd.m3u8'
    expect(readPlaylist(text)).toMatchObject({
      variants: [{ uri: 'sd.m3u8', attributes: { BANDWIDTH: '1', CODECS: 'a,b' } }],
    })
  })

  test('reads a line of a million letters that is no attribute list as quickly as any', () => {
    const text = `#EXTM3U\n#EXT-X-MAP:${'A'.repeat(1_000_000)}\n#EXTINF:1,\na.m4s`
    expect(readPlaylist(text)).toMatchObject({ segments: [{ map: undefined }] })
  })

  const refusal = (text: string) => {
    try {
      readPlaylist(text, { characters: 1000, lines: 20 })
      return 'read'
    } catch (error) {
      return hasCode(error, 'media-broken') ? 'refused' : 'defect'
    }
  }

  test('refuses what is no playlist, too long, or has no numbers where they belong', () => {
    expect(refusal('<html>')).toBe('refused')
    expect(refusal(`#EXTM3U${'\n'.repeat(30)}`)).toBe('refused')
    expect(refusal(`#EXTM3U\n${'x'.repeat(1000)}`)).toBe('refused')
    expect(refusal('#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1e9')).toBe('refused')
    expect(refusal('#EXTM3U\nsegment.ts')).toBe('refused')
    expect(refusal('#EXTM3U\n#EXT-X-PROGRAM-DATE-TIME:noon')).toBe('refused')
  })
})
