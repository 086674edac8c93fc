import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  piecesAfter,
  piecesFrom,
  readMaster,
  readMedia,
} from '../../player/engine/read-playlist.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const URL_OF = 'https://edge.test/live/main/video.m3u8'
const LIVE = `#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6,CAN-SKIP-UNTIL=6
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:2
#EXT-X-MAP:URI="s/init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:10.000Z
#EXT-X-GAP
#EXTINF:1,
s/7.m4s
#EXTINF:1,
s/8.m4s
#EXT-X-PART:DURATION=0.5,URI="s/9.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.5,URI="s/9.1.m4s"
#EXTINF:1,
s/9.m4s
#EXT-X-PART:DURATION=0.2,URI="s/10.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.2,URI="s/10.1.m4s"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="s/10.2.m4s"
`
const FILM = `#EXTM3U
#EXT-X-TARGETDURATION:4
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="main.mp4"
#EXTINF:2,
main-0.m4s
#EXTINF:4.004,
main-1.m4s
#EXT-X-ENDLIST
`
const MASTER = `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Second",URI="a2.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="First",DEFAULT=YES,URI="a1.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="b",NAME="Other",DEFAULT=YES,URI="b.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1.42c01e,mp4a.40.2",AUDIO="a"
v1.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS="hvc1.1.6.L93.90",AUDIO="b"
v2.m3u8
`
const names = (list: readonly { readonly url: string }[]) =>
  list.map(({ url }) => url.slice(url.lastIndexOf('/') + 1))
const read = (text: string) => {
  const list = readMedia(text, URL_OF)
  if (!list) throw new Error('not read')
  return list
}

describe('the playlists that a start is made from', () => {
  it('takes the first variant with the default sound of its group', () => {
    expect(readMaster(MASTER, 'https://edge.test/live/main/index.m3u8')).toEqual({
      url: 'https://edge.test/live/main/v1.m3u8',
      codecs: ['avc1.42c01e', 'mp4a.40.2'],
      audioUrl: 'https://edge.test/live/main/a1.m3u8',
    })
  })

  it.each([
    ['a session key', '#EXT-X-SESSION-KEY:METHOD=AES-128,URI="k"'],
    ['variables', '#EXT-X-DEFINE:NAME="a",VALUE="b"'],
    ['content steering', '#EXT-X-CONTENT-STEERING:SERVER-URI="s"'],
    ['a start of its own', '#EXT-X-START:TIME-OFFSET=10'],
  ])('leaves a master with %s to hls.js', (_, line) => {
    expect(readMaster(`#EXTM3U\n${line}\n${MASTER.slice(8)}`, URL_OF)).toBeUndefined()
  })

  it.each([
    ['keys', '#EXT-X-KEY:METHOD=AES-128,URI="k"'],
    ['byte ranges', '#EXT-X-BYTERANGE:10@0'],
    ['a discontinuity', '#EXT-X-DISCONTINUITY'],
    ['a delta', '#EXT-X-SKIP:SKIPPED-SEGMENTS=3'],
    ['another init section', '#EXT-X-MAP:URI="other.mp4"'],
    ['an address of another scheme', '#EXT-X-MAP:URI="data:video/mp4,x"'],
    ['an init section with a range', '#EXT-X-MAP:URI="main.mp4",BYTERANGE="10@0"'],
  ])('leaves a media playlist with %s to hls.js', (_, line) => {
    expect(readMedia(FILM.replace('#EXTINF:4.004,', `${line}\n#EXTINF:4.004,`), URL_OF)).toBe(
      undefined,
    )
  })

  it('counts time from the first segment, gaps included', () => {
    const list = read(LIVE)
    expect(list).toMatchObject({ live: true, holdBack: 0.6, next: { msn: 10, part: 2 } })
    expect(list.end).toBeCloseTo(3.4)
    expect(list.startsAt).toBe(Date.parse('2026-01-01T00:00:10.000Z'))
    expect(list.pieces[0]).toMatchObject({ msn: 8, start: 1, end: 2 })
    expect(list.pieces.at(-1)).toMatchObject({ msn: 10, part: 1, start: 3.2 })
  })

  it('begins at a key picture, with the whole segment where there is one', () => {
    expect(names(piecesFrom(read(LIVE), 2.8))).toEqual(['9.m4s', '10.0.m4s', '10.1.m4s'])
    expect(names(piecesFrom(read(LIVE), 3.3))).toEqual(['10.0.m4s', '10.1.m4s'])
    expect(names(piecesFrom(read(FILM), 3))).toEqual(['main-1.m4s'])
    expect(names(piecesFrom(read(FILM), 0))).toEqual(['main-0.m4s', 'main-1.m4s'])
  })

  it('begins in the middle of a segment when a part there needs no other', () => {
    const parts = LIVE.replace('9.1.m4s"', '9.1.m4s",INDEPENDENT=YES')
    expect(names(piecesFrom(read(parts), 2.6))).toEqual(['9.1.m4s', '10.0.m4s', '10.1.m4s'])
  })

  it('goes on after what it has', () => {
    expect(names(piecesAfter(read(LIVE), 10, 1))).toEqual(['10.1.m4s'])
    expect(names(piecesAfter(read(LIVE), 10, 2))).toEqual([])
    expect(names(piecesAfter(read(LIVE), 9, 1))).toEqual(['9.1.m4s', '10.0.m4s', '10.1.m4s'])
  })

  it('takes any text, and gives only pieces in order at addresses of the web', () => {
    const line = fc.oneof(
      fc.constantFrom(...LIVE.split('\n'), ...FILM.split('\n'), ...MASTER.split('\n')),
      fc.string(),
    )
    const position = fc.double({ min: -10, max: 100, noNaN: true })
    fc.assert(
      fc.property(fc.array(line, { maxLength: 60 }), position, (lines, at) => {
        const text = ['#EXTM3U', '#EXT-X-TARGETDURATION:2', ...lines].join('\n')
        readMaster(text, URL_OF)
        const list = readMedia(text, URL_OF)
        const pieces = list ? piecesFrom(list, at) : []
        for (const [i, piece] of pieces.entries()) {
          expect(piece.url).toMatch(/^https?:/)
          expect(piece.end).toBeGreaterThanOrEqual(piece.start)
          const before = pieces[i - 1]
          if (before) expect(piece.start).toBeGreaterThanOrEqual(before.end - 0.001)
        }
      }),
      { numRuns: FUZZ_RUNS },
    )
  })
})
