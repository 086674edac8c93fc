import { execFile } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ALL_FORMATS, BufferSource, EncodedPacketSink, Input } from 'mediabunny'
import { describe, expect, test } from 'vitest'
import type { Frame } from '../../../server/codecs/frame.ts'
import type { Track, VideoTrack } from '../../../server/codecs/track.ts'
import {
  writeFragment,
  writeFragmentHeader,
} from '../../../server/formats/isobmff/write-fragment.ts'
import { writeInit } from '../../../server/formats/isobmff/write-init.ts'
import { type LiveMedia, makeLiveMedia } from '../../support/live-media.ts'

const run = promisify(execFile)

/** All frames of a track as one run, 1000 ticks a second. */
function samplesOf(media: LiveMedia, track: Track) {
  const frames = media.frames.filter((frame) => frame.trackId === track.id)
  return frames.map((frame, i) => ({
    size: frame.data.length,
    duration: (frames[i + 1]?.dts ?? frame.dts + 33) - frame.dts,
    compositionOffset: frame.pts - frame.dts,
    key: frame.key,
    data: frame.data,
  }))
}

function writeFile1(media: LiveMedia): Buffer {
  const fragments = media.tracks.map((track, i) => {
    const samples = samplesOf(media, track)
    const first = media.frames.find((frame: Frame) => frame.trackId === track.id)
    return writeFragment({
      sequence: i + 1,
      tracks: [
        { trackId: track.id, baseDecodeTime: first?.dts ?? 0, runs: [{ offset: 0, samples }] },
      ],
      payload: samples.map((sample) => sample.data),
    })
  })
  return Buffer.concat([writeInit(media.tracks), ...fragments.flat()])
}

async function inFile<T>(bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
  const path = join(await mkdtemp(join(tmpdir(), 'nearcast-')), 'film.mp4')
  await writeFile(path, bytes)
  return use(path)
}

/** A track of H.264 that says nothing of its colours, as a base for others. */
async function plainVideo(): Promise<VideoTrack> {
  const [track] = (await makeLiveMedia({ seconds: 2, audio: false })).tracks
  if (track?.kind !== 'video') throw new Error('no picture')
  return { ...track, colour: undefined }
}

describe('init sections and fragments', () => {
  test('colours, display and light are boxes that ffprobe reads, and are left out where nobody says them', async () => {
    const media = await makeLiveMedia({ seconds: 2, audio: false })
    const plain = await plainVideo()
    const told: VideoTrack = {
      ...plain,
      colour: { primaries: 9, transfer: 16, matrix: 9, fullRange: true },
      mastering: {
        red: [0.68, 0.32],
        green: [0.265, 0.69],
        blue: [0.15, 0.06],
        white: [0.3127, 0.329],
        maxLuminance: 1000,
        minLuminance: 0.0001,
      },
      contentLight: { maxCll: 1000, maxFall: 300 },
    }
    const probe = (path: string) =>
      run('ffprobe', ['-v', 'error', '-show_streams', '-of', 'json', path])
    const bytes = writeFile1({ ...media, tracks: [told] })
    const { stdout } = await inFile(bytes, probe)
    const [stream] = JSON.parse(stdout).streams
    expect(stream).toMatchObject({
      color_range: 'pc',
      color_primaries: 'bt2020',
      color_transfer: 'smpte2084',
      color_space: 'bt2020nc',
    })
    expect(stream.side_data_list).toMatchObject([
      {
        side_data_type: 'Mastering display metadata',
        red_x: '34000/50000',
        green_y: '34500/50000',
        blue_x: '7500/50000',
        white_point_y: '16450/50000',
        max_luminance: '10000000/10000',
        min_luminance: '1/10000',
      },
      { side_data_type: 'Content light level metadata', max_content: 1000, max_average: 300 },
    ])
    const without = writeInit([plain]).toString('latin1')
    for (const type of ['colr', 'mdcv', 'clli']) expect(without).not.toContain(type)
  })

  test('ffmpeg decodes every picture and sound of what is written, without a complaint', async () => {
    const media = await makeLiveMedia({ seconds: 2, bframes: 2 })
    const result = await inFile(writeFile1(media), (path) =>
      run('ffmpeg', ['-v', 'warning', '-xerror', '-i', path, '-f', 'framemd5', '-']),
    )
    expect(result.stderr).toBe('')
    const lines = result.stdout.split('\n').filter((line) => line.startsWith('0,'))
    expect(lines).toHaveLength(60)
  })

  test('another reader finds the times, key frames and bytes that were written', async () => {
    const media = await makeLiveMedia({ seconds: 2, bframes: 2 })
    const [video] = media.tracks
    const input = new Input({ formats: ALL_FORMATS, source: new BufferSource(writeFile1(media)) })
    const track = await input.getPrimaryVideoTrack()
    if (!track || !video) throw new Error('no picture')
    const expected = samplesOf(media, video)
    const frames = media.frames.filter((frame) => frame.trackId === video.id)
    let i = 0
    for await (const packet of new EncodedPacketSink(track).packets()) {
      expect(Math.round(packet.timestamp * 1000)).toBe(frames[i]?.pts)
      expect(packet.type === 'key').toBe(expected[i]?.key)
      expect(Buffer.compare(packet.data, expected[i]?.data ?? Buffer.alloc(0))).toBe(0)
      i++
    }
    expect(i).toBe(frames.length)
  })

  test('rotation, pixel aspect, language and edit list are where ffprobe looks for them', async () => {
    const media = await makeLiveMedia({ seconds: 2, bframes: 2 })
    const [video, audio] = media.tracks
    if (video?.kind !== 'video' || !audio) throw new Error('no tracks')
    const turned: VideoTrack = { ...video, rotation: 90, pixelAspect: [4, 3], language: 'deu' }
    const init = writeInit([turned, audio], { mediaTimes: new Map([[1, 67]]) })
    const plain = writeInit([video, audio])
    const body = writeFile1(media).subarray(plain.length)
    const probe = await inFile(Buffer.concat([init, body]), (path) =>
      run('ffprobe', ['-v', 'error', '-show_streams', '-show_format', '-of', 'json', path]),
    )
    const facts = JSON.parse(probe.stdout) as {
      streams: readonly {
        sample_aspect_ratio: string
        tags: { language: string }
        start_time: string
        side_data_list: readonly { rotation?: number }[]
      }[]
    }
    expect(facts.streams[0]?.sample_aspect_ratio).toBe('4:3')
    expect(facts.streams[0]?.tags.language).toBe('deu')
    expect(facts.streams[0]?.side_data_list[0]?.rotation).toBe(-90)
    expect(Number(facts.streams[0]?.start_time)).toBeCloseTo(0, 1)
  })

  test('several runs name places anywhere in a payload that was not made for them', async () => {
    const media = await makeLiveMedia({ seconds: 2, bframes: 2 })
    const chunks: Buffer[] = [Buffer.from('bytes of nobody')]
    let at = 15
    const tracks = media.tracks.map((track) => ({
      trackId: track.id,
      baseDecodeTime: 0,
      runs: [0, 20].map((from) => {
        const samples = samplesOf(media, track).slice(from, from + 20)
        const bytes = Buffer.concat(samples.map((sample) => sample.data))
        chunks.push(bytes, Buffer.from('!'))
        const offset = at
        at += bytes.length + 1
        return { offset, samples }
      }),
    }))
    const payload = Buffer.concat(chunks)
    const header = writeFragmentHeader({ sequence: 1, tracks, payloadLength: payload.length })
    const film = Buffer.concat([writeInit(media.tracks), header, payload])
    const result = await inFile(film, (path) =>
      run('ffmpeg', ['-v', 'warning', '-xerror', '-i', path, '-f', 'framemd5', '-']),
    )
    expect(result.stderr).toBe('')
    expect(result.stdout.split('\n').filter((line) => line.startsWith('0,'))).toHaveLength(40)
  })

  test('the same tracks give the same bytes', async () => {
    const { tracks } = await makeLiveMedia({ seconds: 2 })
    expect(writeInit(tracks).equals(writeInit(tracks.map((track) => ({ ...track }))))).toBe(true)
  })
})
