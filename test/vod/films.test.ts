import { readFile, rm } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import {
  convertFilm,
  type FilmOptions,
  makeFilm,
  type Packet,
  packetsOf,
  packetsOfBoth,
  picturesOf,
} from '../support/media.ts'
import { asFile, ask, playFilm, shelfWith } from './play.ts'

const MILLISECOND = 0.001

/** The same pictures and sounds at the same times, give or take rounding; priming before 0 may be cut shorter. */
function expectSamePackets(actual: readonly Packet[], expected: readonly Packet[]): void {
  const heard = (packets: readonly Packet[]) =>
    packets.filter(({ seconds }) => seconds > -MILLISECOND)
  expect(heard(actual).map(({ size }) => size)).toEqual(heard(expected).map(({ size }) => size))
  for (const [i, packet] of heard(actual).entries()) {
    expect(Math.abs(packet.seconds - (heard(expected)[i]?.seconds ?? 0))).toBeLessThan(MILLISECOND)
  }
}

async function expectPlaysAs(source: string, { video = true, audio = true } = {}): Promise<void> {
  const shelf = await shelfWith({ 'film.mp4': source })
  const played = await playFilm(shelf, 'film.mp4')
  const path = await asFile(played, crypto.randomUUID())
  const both = async <T>(of: (film: string) => Promise<T>) => Promise.all([of(path), of(source)])
  const [actual, expected] = await both(packetsOfBoth)
  expect([actual.video.length > 0, actual.audio.length > 0]).toEqual([video, audio])
  if (video) {
    expectSamePackets(actual.video, expected.video)
    const [pictures, wanted] = await both(picturesOf)
    expect(pictures).toEqual(wanted)
  }
  if (audio) expectSamePackets(actual.audio, expected.audio)
  await rm(path)
}

describe('a stored film plays with the pictures, sounds and times of its source', () => {
  const kinds: Record<string, FilmOptions> = {
    'moov last': {},
    'moov first': { layout: 'moov-first' },
    'B-frames': { bframes: 3, gop: 50 },
    'open groups of pictures': { bframes: 2, extra: ['-x264-params', 'open-gop=1'] },
    'a key frame only at the start': { gop: 1000, seconds: 7 },
    'video alone': { audio: false, bframes: 2 },
    'audio alone': { video: false, seconds: 9 },
    'movie fragments': { layout: 'fragmented', bframes: 2 },
    'movie fragments with an index': {
      extra: ['-movflags', '+frag_keyframe+dash+global_sidx', '-frag_duration', '1000000'],
    },
    'fragments that count from the start of the file': {
      extra: ['-movflags', '+frag_keyframe+empty_moov'],
    },
    'negative composition offsets': { bframes: 2, extra: ['-movflags', '+negative_cts_offsets'] },
    'a rate of 30000/1001': { rate: 30000 / 1001, gop: 30 },
    QuickTime: { extension: 'mov' },
    'MP3 sound': { extra: ['-c:a', 'libmp3lame', '-b:a', '64k'] },
    'Opus sound': { extra: ['-c:a', 'libopus', '-b:a', '64k'] },
    'FLAC sound': { extra: ['-c:a', 'flac', '-strict', '-2'] },
  }
  for (const [name, options] of Object.entries(kinds)) {
    it(name, async () => {
      await expectPlaysAs(await makeFilm(options), options)
    })
  }

  it('pictures at uneven times', async () => {
    const uneven = ['-vf', 'select=not(mod(n\\,3))+not(mod(n\\,7))', '-fps_mode', 'vfr']
    await expectPlaysAs(await makeFilm({ extra: uneven, seconds: 6 }))
    const fragments = { layout: 'fragmented', bframes: 3, gop: 40, seconds: 6 } as const
    await expectPlaysAs(await makeFilm({ ...fragments, extra: uneven }))
  })

  it('offsets of 64 bits', async () => {
    const film = await readFile(await makeFilm({ seconds: 3 }))
    const shelf = await shelfWith({ plain: film, large: withLargeOffsets(film) })
    const plain = await playFilm(shelf, 'plain')
    const large = await playFilm(shelf, 'large')
    expect(large.segments).toEqual(plain.segments)
  })

  it('several sample descriptions, each with an init section of its own', async () => {
    const source = await makeFilm({ seconds: 6 })
    const shelf = await shelfWith({ film: withTwoDescriptions(await readFile(source), 60) })
    const played = await playFilm(shelf, 'film')
    expect(played.playlist).toMatch(
      /MAP:URI="main.mp4"[^]*#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="main.d1.mp4"/,
    )
    const { hash } = /(?<hash>[0-9a-f]{16})/.exec(played.master)?.groups ?? {}
    // The second description is a copy of the first.
    const second = await ask(shelf, `/vod/film/${hash}/main.d1.mp4`)
    expect(second.bytes).toEqual(played.init)
    const path = await asFile(played, 'descriptions')
    expect(await picturesOf(path)).toEqual(await picturesOf(source))
    await rm(path)
  })

  it('sound that goes on after the last picture', async () => {
    const picture = await makeFilm({ seconds: 2, audio: false })
    const sound = await makeFilm({ seconds: 12, video: false })
    const source = await convertFilm(['-i', picture, '-i', sound], ['-c', 'copy'], 'mp4')
    await expectPlaysAs(source)
    const { playlist } = await playFilm(await shelfWith({ film: source }), 'film')
    expect(playlist.match(/EXTINF:(\d+)/g)?.length).toBeGreaterThan(2)
  })

  it('pictures that begin after the sound', async () => {
    const picture = await makeFilm({ seconds: 3, audio: false })
    const sound = await makeFilm({ seconds: 4, video: false })
    const input = ['-itsoffset', '1.5', '-i', picture, '-i', sound]
    const source = await convertFilm(input, ['-c', 'copy'], 'mp4')
    await expectPlaysAs(source)
  })

  it('a film that begins at 10 s is played from 0', async () => {
    const late = ['-itsoffset', '10', '-i', await makeFilm({ seconds: 2, audio: false })]
    const source = await convertFilm(late, ['-c', 'copy', '-copyts'], 'mp4')
    const played = await playFilm(await shelfWith({ film: source }), 'film')
    const path = await asFile(played, 'late')
    const [first] = await packetsOf(path, 'v')
    expect(first?.seconds).toBe(0)
    await rm(path)
  })

  it('an edit list that starts between key frames shows what it says, to the picture', async () => {
    // ffmpeg copies from the key frame at 2 s and writes an edit list to 2.6 s.
    const whole = await makeFilm({ seconds: 5, gop: 50, bframes: 2 })
    const source = await convertFilm(['-ss', '2.6', '-i', whole], ['-c', 'copy'], 'mp4')
    const played = await playFilm(await shelfWith({ film: source }), 'film')
    expect(played.master).toContain('FRAME-RATE=25.000')
    const path = await asFile(played, 'edit')
    const wanted = await picturesOf(source)
    const hidden = (await picturesOf(path)).length - wanted.length
    expect(hidden).toBeGreaterThan(0)
    expect((await picturesOf(path)).slice(hidden)).toEqual(wanted)
    const packets = await packetsOf(path, 'v')
    const shown = (await packetsOf(source, 'v')).filter(({ seconds }) => seconds > -MILLISECOND)
    expect(packets[hidden - 1]?.seconds).toBeLessThan(MILLISECOND)
    for (const [i, { seconds }] of packets.slice(hidden).entries()) {
      expect(Math.abs(seconds - (shown[i]?.seconds ?? 0))).toBeLessThan(2 * MILLISECOND)
    }
    await rm(path)
  })
})

describe('playlists', () => {
  it('say what the film is', async () => {
    const film = await makeFilm({ seconds: 9, extra: ['-vf', 'setsar=2/1'] })
    const { master, playlist } = await playFilm(await shelfWith({ film }), 'film')
    expect(master).toMatch(
      /CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2",RESOLUTION=320x120,FRAME-RATE=25\.000/,
    )
    expect(master).toMatch(/BANDWIDTH=\d+,AVERAGE-BANDWIDTH=\d+/)
    expect(master).not.toContain('# ')
    // 2 s at first, so that the picture is there early, then 4 s.
    expect(playlist.match(/EXTINF:[\d.]+/g)).toEqual([
      'EXTINF:2',
      'EXTINF:2',
      'EXTINF:4',
      expect.stringMatching(/EXTINF:1\.?/),
    ])
    expect(playlist).toContain('#EXT-X-TARGETDURATION:4\n')
    expect(playlist).toContain('#EXT-X-ENDLIST')
  })

  it('tell the size as it is seen when the film is turned', async () => {
    const upright = ['-i', await makeFilm({ seconds: 1 })]
    // This ffmpeg counts the tag counter-clockwise.
    const film = await convertFilm(upright, ['-c', 'copy', '-metadata:s:v', 'rotate=90'], 'mp4')
    const shelf = await shelfWith({ film })
    const { master } = await playFilm(shelf, 'film')
    expect(master).toContain('RESOLUTION=120x160')
    const { tracks, plays } = await shelf.origin.probe('film', new AbortController().signal)
    expect(plays).toMatch(/^video \(\w+\), audio \(\w+\), as it is, without transcoding$/)
    expect(tracks[0]).toMatchObject({ kind: 'video', rotation: 270, width: 160, height: 120 })
  })

  it('offer several sound tracks by language, and one variant for each codec', async () => {
    const [picture, sound] = [await makeFilm({ audio: false }), await makeFilm({ video: false })]
    const inputs = ['-i', picture, '-i', sound, '-i', sound, '-i', sound]
    const maps = ['-map', '0', '-map', '1', '-map', '2', '-map', '3', '-c', 'copy']
    const languages = ['-metadata:s:a:0', 'language=eng', '-metadata:s:a:1', 'language=deu']
    const film = await convertFilm(inputs, [...maps, ...languages, '-c:a:2', 'ac3'], 'mp4')
    const shelf = await shelfWith({ film })
    const { master } = await playFilm(shelf, 'film')
    expect(master).toMatch(/GROUP-ID="aac",NAME="English 1",LANGUAGE="en",DEFAULT=YES/)
    expect(master).toMatch(/GROUP-ID="aac",NAME="German 2",LANGUAGE="de",DEFAULT=NO/)
    expect(master).toMatch(/CODECS="avc1[^"]+,mp4a.40.2".*AUDIO="aac"/)
    expect(master).toMatch(/CODECS="avc1[^"]+,ac-3".*AUDIO="ac3"/)
    const path = await asFile(await playFilm(shelf, 'film', 'audio2'), 'german')
    expectSamePackets(await packetsOf(path, 'a'), await packetsOf(film, 'a', 1))
    await rm(path)
  })

  it('count the sound tracks from 1, with pictures or without', async () => {
    const sound = ['-i', await makeFilm({ video: false })]
    const film = await convertFilm(sound, ['-map', '0', '-map', '0', '-c', 'copy'], 'mp4')
    const { master } = await playFilm(await shelfWith({ film }), 'film')
    expect(master.match(/NAME="[^"]+"/g)).toEqual(['NAME="Audio 1"', 'NAME="Audio 2"'])
  })

  // rfc8216bis §6.2.4
  it('of one film have one target duration and the same discontinuities', async () => {
    const picture = ['-i', await makeFilm({ seconds: 3, audio: false })]
    const sound = ['-i', await makeFilm({ seconds: 12, video: false })]
    const maps = ['-map', '0', '-map', '1', '-map', '1', '-c', 'copy']
    const film = await convertFilm([...picture, ...sound], maps, 'mp4')
    const shelf = await shelfWith({ film: withTwoDescriptions(await readFile(film), 51) })
    const { playlist: video } = await playFilm(shelf, 'film', 'video')
    const { playlist: audio } = await playFilm(shelf, 'film', 'audio1')
    for (const playlist of [video, audio]) {
      expect(playlist).toContain('#EXT-X-TARGETDURATION:4\n')
      expect(playlist).toMatch(/EXTINF:2,\n\w+-0\.m4s\n#EXT-X-DISCONTINUITY\n/)
    }
  })

  it('promise no less bandwidth than any segment takes', async () => {
    for (const options of [
      { bframes: 2, seconds: 9 },
      { seconds: 9, size: '32x32', rate: 60 },
    ]) {
      const played = await playFilm(await shelfWith({ film: await makeFilm(options) }), 'film')
      const bandwidth = Number(/BANDWIDTH=(\d+)/.exec(played.master)?.[1])
      const rates = played.segments.map(({ bytes, seconds }) => (bytes.length * 8) / seconds)
      // §4.4.6.2: the last one is shorter than half the target.
      expect(Math.max(...rates.slice(0, 3))).toBeLessThanOrEqual(bandwidth)
    }
  })

  it('offer the pictures alone beside sound that not all browsers play', async () => {
    const film = await makeFilm({ extra: ['-c:a', 'ac3'] })
    const { master } = await playFilm(await shelfWith({ film }), 'film')
    expect(master).toMatch(/CODECS="avc1[^"]+,ac-3"/)
    expect(master).toMatch(/CODECS="avc1[^",]+"/)
  })
})

it('H.264 with 4:4:4 is offered by its profile, which Chromium plays', async () => {
  const film = await makeFilm({ seconds: 1, extra: ['-pix_fmt', 'yuv444p'] })
  const { status, text } = await ask(await shelfWith({ film }), '/vod/film/index.m3u8')
  expect(status).toBe(200)
  expect(text).toMatch(/CODECS="avc1\.f4/i)
})

describe('what cannot be played is refused in plain words', () => {
  const refused = async (film: string | Uint8Array) => {
    const { status, text } = await ask(await shelfWith({ film }), '/vod/film/index.m3u8')
    return { status, ...(JSON.parse(text) as { code: string; message: string }) }
  }

  it('video for other than browsers', async () => {
    const mpeg4 = await makeFilm({ seconds: 1, extra: ['-c:v', 'mpeg4'] })
    expect(await refused(mpeg4)).toEqual({
      status: 415,
      code: 'media-unsupported',
      message: 'MPEG-4 Part 2 video is not for browsers and this server does not transcode it',
    })
  })

  it('other containers, by name', async () => {
    for (const [extension, name] of [
      ['mkv', 'Matroska'],
      ['ts', 'MPEG-TS'],
      ['flv', 'FLV'],
    ] as const) {
      const film = await makeFilm({ seconds: 1, extension, extra: ['-ar', '44100'] })
      const { status, message } = await refused(film)
      expect({ status, named: message.includes(name) }).toEqual({ status: 415, named: true })
    }
    const mp3 = await makeFilm({ video: false, extension: 'mp3', extra: ['-c:a', 'libmp3lame'] })
    expect((await refused(mp3)).message).toContain('browsers play the file itself')
  })

  it('encrypted films', async () => {
    const key = '00112233445566778899aabbccddeeff'
    const extra = [
      '-encryption_scheme',
      'cenc-aes-ctr',
      '-encryption_key',
      key,
      '-encryption_kid',
      key,
    ]
    const film = await makeFilm({ seconds: 1, extra })
    expect(await refused(film)).toMatchObject({ status: 403, code: 'media-encrypted' })
  })

  it('a table whose samples would be bytes of the index itself', async () => {
    const film = await readFile(await makeFilm({ seconds: 1 }))
    const moov = film.lastIndexOf('moov') - 4
    const astray = withTables(film, (type, body) => {
      if (type === 'stco') body.writeUInt32BE(moov + 16, 8)
      return [type, body]
    })
    expect(await refused(astray)).toMatchObject({ status: 422, code: 'media-broken' })
  })

  it('a film that is still being copied, saying so', async () => {
    const film = await readFile(await makeFilm({ seconds: 1 }))
    expect(await refused(film.subarray(0, film.length >> 1))).toMatchObject({
      status: 422,
      code: 'media-broken',
      message: expect.stringMatching(
        /^the file is cut short: .*if it is still being copied, wait$/,
      ),
    })
  })

  it('what is no media, or empty', async () => {
    expect(await refused(Buffer.from('hello, this is text and nothing else'))).toMatchObject({
      code: 'media-unsupported',
    })
    expect(await refused(Buffer.alloc(0))).toMatchObject({ status: 422, code: 'media-broken' })
  })

  it('but a film with sound for other than browsers plays, and says so', async () => {
    const film = await makeFilm({ extension: 'mov', extra: ['-c:a', 'pcm_s16le'] })
    const { master, playlist } = await playFilm(await shelfWith({ film }), 'film')
    expect(master).toContain('# not played: audio track 2: PCM audio is not for browsers')
    expect(playlist).toContain('# not played: audio track 2')
    await expectPlaysAs(film, { audio: false })
  })
})

/** The film with `co64` in place of `stco`; the moov must be last, for the media to stay where it is. */
function withLargeOffsets(film: Buffer): Buffer {
  return withTables(film, (type, body) => {
    if (type !== 'stco') return [type, body]
    const count = body.readUInt32BE(4)
    const wide = Buffer.alloc(8 + count * 8)
    body.copy(wide, 0, 0, 8)
    for (let i = 0; i < count; i += 1) {
      wide.writeBigUInt64BE(BigInt(body.readUInt32BE(8 + i * 4)), 8 + i * 8)
    }
    return ['co64', wide]
  })
}

/** The film with its sample description twice, the second from chunk `chunk` on. */
function withTwoDescriptions(film: Buffer, chunk: number): Buffer {
  return withTables(film, (type, body) => {
    if (type === 'stsd') {
      const twice = Buffer.concat([body, body.subarray(8)])
      twice.writeUInt32BE(2, 4)
      return [type, twice]
    }
    if (type !== 'stsc') return [type, body]
    const runs: number[][] = []
    for (let at = 8; at < body.length; at += 12) {
      const [first, perChunk] = [body.readUInt32BE(at), body.readUInt32BE(at + 4)]
      const next = at + 12 < body.length ? body.readUInt32BE(at + 12) : Number.POSITIVE_INFINITY
      runs.push([first, perChunk, first < chunk ? 1 : 2])
      if (first < chunk && chunk < next) runs.push([chunk, perChunk, 2])
    }
    const table = Buffer.alloc(8 + runs.length * 12)
    table.writeUInt32BE(runs.length, 4)
    runs.flat().forEach((value, i) => table.writeUInt32BE(value, 8 + i * 4))
    return [type, table]
  })
}

type Change = (type: string, body: Buffer) => readonly [type: string, body: Buffer]

/** Changes boxes of a moov that is last in the film. */
function withTables(film: Buffer, change: Change): Buffer {
  const moovAt = film.lastIndexOf('moov') - 4
  return Buffer.concat([film.subarray(0, moovAt), changeBoxes(film.subarray(moovAt), change)])
}

function changeBoxes(bytes: Buffer, change: Change): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += bytes.readUInt32BE(at)) {
    const type = bytes.toString('latin1', at + 4, at + 8)
    const body = bytes.subarray(at + 8, at + bytes.readUInt32BE(at))
    const parent = ['moov', 'trak', 'mdia', 'minf', 'stbl'].includes(type)
    const [name, changed] = parent ? [type, changeBoxes(body, change)] : change(type, body)
    const head = Buffer.alloc(8)
    head.writeUInt32BE(changed.length + 8, 0)
    head.write(name, 4, 'latin1')
    parts.push(head, changed)
  }
  return Buffer.concat(parts)
}
