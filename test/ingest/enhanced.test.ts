import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import type { Frame } from '../../server/codecs/frame.ts'
import type { AudioCodec, Track, VideoCodec } from '../../server/codecs/track.ts'
import { writeAmf0 } from '../../server/formats/flv/amf0.ts'
import { FlvReader } from '../../server/formats/flv/flv-reader.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { Metrics } from '../../server/lib/metrics.ts'
import { systemRandom } from '../../server/lib/random.ts'
import { createLivePackager } from '../../server/live/packager.ts'
import { ask, readMedia } from '../live/live-fixture.ts'
import {
  audioTags,
  interleave,
  makeAudio,
  makeVideo,
  type Tag,
  videoTags,
} from '../support/enhanced-media.ts'
import { RtmpClient } from '../support/rtmp-client.ts'
import { eventually, KEY, startTestListener } from './start-listener.ts'

const run = promisify(execFile)
const open = new Set<() => Promise<unknown>>()
afterEach(async () => {
  for (const close of open) await close()
  open.clear()
})

/** A listener whose streams are packaged, a publisher on it, and a folder for what is downloaded. */
async function start() {
  const server = await startTestListener()
  const packager = await createLivePackager({
    registry: server.registry,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    metrics: new Metrics(),
    partSeconds: 0.2,
    windowSeconds: 60,
  })
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-'))
  open.add(() => server.close())
  open.add(async () => packager.close())
  open.add(() => rm(folder, { recursive: true }))
  const publisher = await RtmpClient.publishing(server.port, KEY)
  const get = (file: string) => ask(packager.origin, `/live/main/${file}`)

  /** What a viewer of one rendition has in the end, as a file. */
  async function download(id: string): Promise<string> {
    const playlist = readMedia(await get(`${id}-t12.m3u8`))
    const there = playlist.segments.filter((segment) => !segment.gap)
    const uris = [there[0]?.map, ...there.map(({ uri }) => uri)].flatMap((uri) => uri ?? [])
    const pieces = await Promise.all(uris.map(async (uri) => (await get(uri)).body))
    const path = join(folder, `${id}.mp4`)
    await writeFile(path, Buffer.concat(pieces))
    return path
  }

  async function send(tags: readonly Tag[]): Promise<void> {
    const before = server.watched[0]?.frames.length ?? 0
    for (const { type, timestamp, body } of tags) publisher.send(type, body, timestamp)
    const wanted = tags.filter(isFrame).length
    await eventually(() => (server.watched[0]?.frames.length ?? 0) >= before + wanted)
  }

  async function finish(): Promise<void> {
    publisher.command('deleteStream', 0, null, 1)
    await eventually(() => server.watched[0]?.end !== undefined)
    packager.end('main')
  }
  return { ...server, packager, publisher, send, finish, download, get }
}

/** No sequence header. */
function isFrame({ type, body }: Tag): boolean {
  const [first = 0, second = 0] = body
  const packet = first & 15
  return ((type === 9 ? packet === 6 : packet === 5) ? second & 15 : packet) !== 0
}

/** How many pictures or sounds ffmpeg decodes, and what it is; it throws when it has anything to complain about. */
async function decode(path: string): Promise<{ readonly codec: string; readonly frames: number }> {
  const { stderr } = await run('ffmpeg', [
    ...'-v warning -xerror -nostdin -i'.split(' '),
    path,
    ...'-f null -'.split(' '),
  ])
  expect(stderr).toBe('')
  const { stdout } = await run('ffprobe', [
    ...'-v error -count_packets -show_entries stream=codec_name,nb_read_packets -of csv=p=0'.split(
      ' ',
    ),
    path,
  ])
  const [codec = '', frames = ''] = stdout.trim().split(',')
  return { codec, frames: Number(frames) }
}

const FFMPEG_NAME: Readonly<Record<string, string>> = { avc: 'h264' }

const PAIRS: readonly (readonly [VideoCodec, AudioCodec, RegExp])[] = [
  ['avc', 'mp3', /CODECS="avc1\.\w{6},mp4a\.6B"/],
  ['hevc', 'ac3', /CODECS="hvc1\.1\.6\.L\d+\.[\w.]+,ac-3"/],
  ['av1', 'opus', /CODECS="av01\.0\.\d\dM\.08,opus"/],
  ['vp9', 'flac', /CODECS="vp09\.00\.\d\d\.08,fLaC"/],
  ['hevc', 'eac3', /CODECS="hvc1\.[\w.]+,ec-3"/],
]

describe.each(PAIRS)('Enhanced RTMP with %s and %s', (video, audio, codecs) => {
  test('is packaged whole, and played over RTMP as it came', async () => {
    const picture = await makeVideo(video)
    const sound = await makeAudio(audio)
    const live = await start()
    const tags = interleave(videoTags(video, picture), audioTags(audio, sound))
    await live.send(tags)
    const player = await RtmpClient.playing(live.port, 'main')
    const played = readPlayed(player)
    await player.until(() => played().frames.length > 20)
    expect(played().tracks.map(({ codec }) => codec)).toEqual([video, audio])
    expect(played().tracks).toEqual(live.watched[0]?.stream.tracks)
    await live.finish()
    const master = (await live.get('index.m3u8')).text
    expect(master).toMatch(codecs)
    expect(master).toContain('RESOLUTION=320x180')
    expect(await decode(await live.download('video'))).toEqual({
      codec: FFMPEG_NAME[video] ?? video,
      frames: picture.frames.length,
    })
    const heard = await decode(await live.download('audio'))
    expect(heard.codec).toBe(audio)
    // The first picture decides where sound begins and ends.
    expect(heard.frames).toBeGreaterThan(sound.frames.length - 8)
  })
})

/** Reads what a player gets as a player does. */
function readPlayed(player: RtmpClient) {
  return () => {
    let tracks: readonly Track[] = []
    const frames: Frame[] = []
    const reader = new FlvReader({
      onTracks: (now) => {
        tracks = now
      },
      onFrame: (frame) => frames.push(frame),
    })
    for (const { type, timestamp, payload } of player.media())
      if (type === 9) reader.video(timestamp, payload)
      else reader.audio(timestamp, payload)
    return { tracks, frames }
  }
}

const SRGB = '-color_primaries bt709 -color_trc iec61966-2-1 -colorspace bt709'
const PQ_IN_STREAM = '-x265-params colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc'
const RANGES: readonly (readonly [VideoCodec, string, string, RegExp])[] = [
  ['avc', SRGB, 'bt709,iec61966-2-1', /VIDEO-RANGE=SDR/],
  ['hevc', `${PQ_IN_STREAM}:log-level=none`, 'bt2020,smpte2084', /VIDEO-RANGE=PQ/],
  ['av1', '', 'unknown,unknown', /FRAME-RATE=25.000\n/],
]

test.each(RANGES)(
  'the master and the init section say what a bitstream of %s says of its colours',
  async (codec, extra, colours, range) => {
    const live = await start()
    await live.send(videoTags(codec, await makeVideo(codec, { extra })))
    await live.finish()
    expect((await live.get('index.m3u8')).text).toMatch(range)
    const { stdout } = await run('ffprobe', [
      ...'-v error -show_entries stream=color_primaries,color_transfer -of csv=p=0'.split(' '),
      await live.download('video'),
    ])
    const [transfer = '', primaries = ''] = stdout.trim().split(',')
    expect(`${primaries},${transfer}`).toBe(colours)
  },
  60_000,
)

test('colours that only the metadata of a publisher says are in the init section and the master, and change with it', async () => {
  const picture = await makeVideo('hevc')
  const live = await start()
  const [header, ...frames] = videoTags('hevc', picture)
  const colours = (transfer: number, timestamp: number): Tag => ({
    type: 9,
    timestamp,
    body: Buffer.concat([
      Buffer.from('9468766331', 'hex'),
      writeAmf0('colorInfo', {
        colorConfig: {
          bitDepth: 10,
          colorPrimaries: 9,
          transferCharacteristics: transfer,
          matrixCoefficients: 9,
        },
        hdrCll: { maxFall: 300, maxCLL: 1000 },
      }),
    ]),
  })
  if (!header) throw new Error('no header')
  for (const tag of [header, colours(18, 0)]) live.publisher.send(9, tag.body)
  await live.send(frames.slice(0, 25))
  const first = (await live.get('index.m3u8')).text
  expect(first).toContain('VIDEO-RANGE=HLG')
  const change = colours(16, 1000)
  live.publisher.send(9, change.body, 1000)
  await live.send(frames.slice(25))
  await live.finish()
  expect((await live.get('index.m3u8')).text).toContain('VIDEO-RANGE=PQ')
  const playlist = readMedia(await live.get('video-t12.m3u8'))
  const maps = playlist.segments.flatMap(({ map }) => map ?? [])
  const transfers: string[] = []
  for (const uri of new Set(maps)) {
    const init = (await live.get(uri)).body
    const at = init.indexOf('colrnclx')
    transfers.push(init.toString('hex', at + 8, at + 15))
    expect(init.includes('clli')).toBe(true)
  }
  expect(transfers).toEqual(['00090012000900', '00090010000900'])
})

test('data messages of a publisher are date ranges at their time, whatever their names; metadata and rubbish are none', async () => {
  const live = await start()
  const tags = videoTags('avc', await makeVideo('avc'))
  await live.send(tags.slice(0, 40))
  const data = (payload: Buffer, timestamp: number) => live.publisher.send(18, payload, timestamp)
  data(writeAmf0('@setDataFrame', 'onMetaData', { encoder: 'test' }), 1500)
  data(writeAmf0('onCuePoint', { name: 'goal', parameters: { team: 'A"\n#EXT-X-ENDLIST' } }), 1500)
  data(writeAmf0('com.apple.hls.interstitial', { 'asset-uri': 'http://127.0.0.1/ad' }), 1500)
  data(writeAmf0('@setDataFrame', 'whatever', 42), 1600)
  await live.send(tags.slice(40))
  await live.finish()
  const { dateRanges, segments, endList } = readMedia(await live.get('video-t12.m3u8'))
  const began = segments.find(({ gap }) => !gap)?.startedAt ?? 0
  const [cue, other, ...more] = dateRanges.map(({ 'START-DATE': date = '', ...rest }) => ({
    ...rest,
    atMs: Date.parse(date) - began,
  }))
  expect(more).toEqual([])
  expect(cue).toMatchObject({
    CLASS: 'onCuePoint',
    'X-NAME': 'goal',
    'X-PARAMETERS-TEAM': "A' #EXT-X-ENDLIST",
  })
  expect(other).toMatchObject({ CLASS: 'whatever', 'X-VALUE': '42' })
  // B-frames: the first picture is shown a moment after it is decoded.
  expect(cue?.atMs).toBeGreaterThan(1500 - 150)
  expect(cue?.atMs).toBeLessThan(1500 + 5)
  expect((other?.atMs ?? 0) - (cue?.atMs ?? 0)).toBe(100)
  expect(endList).toBe(true)
})

test('several pictures and sounds are renditions of one stream; RTMP players get the first of each', async () => {
  const [large, small, first, second] = await Promise.all([
    makeVideo('hevc'),
    makeVideo('avc', { size: '160x90' }),
    makeAudio('aac'),
    makeAudio('opus'),
  ])
  const live = await start()
  await live.send(
    interleave(
      videoTags('hevc', large),
      audioTags('aac', first),
      videoTags('avc', small, 1),
      audioTags('opus', second, 1),
    ),
  )
  const player = await RtmpClient.playing(live.port, 'main')
  const played = readPlayed(player)
  await player.until(() => played().frames.length > 20)
  expect(played().tracks.map(({ id }) => id)).toEqual([1, 2])
  await live.finish()
  const master = (await live.get('index.m3u8')).text
  expect(master.match(/RESOLUTION=\S+?,/g)).toEqual(['RESOLUTION=320x180,', 'RESOLUTION=160x90,'])
  expect(await decode(await live.download('video'))).toMatchObject({ codec: 'hevc', frames: 50 })
  // Its last picture would be shown after the last one of the picture that leads.
  expect(await decode(await live.download('video2'))).toMatchObject({ codec: 'h264', frames: 49 })
  expect(await decode(await live.download('audio'))).toMatchObject({ codec: 'aac' })
  expect(await decode(await live.download('audio2'))).toMatchObject({ codec: 'opus' })
})

test('another codec in mid-stream begins behind a discontinuity with an init section of its own', async () => {
  const [before, after] = await Promise.all([makeVideo('avc'), makeVideo('av1')])
  const live = await start()
  await live.send(videoTags('avc', before))
  await live.send(
    videoTags('av1', after).map((tag) => ({ ...tag, timestamp: tag.timestamp + 2000 })),
  )
  await live.finish()
  const playlist = readMedia(await live.get('video-t12.m3u8'))
  expect(playlist.segments.filter(({ discontinuity }) => discontinuity)).toHaveLength(1)
  expect(new Set(playlist.segments.flatMap(({ map }) => map ?? [])).size).toBe(2)
})

test('connect is answered with what is taken, whether the client asks or not', async () => {
  const server = await startTestListener()
  open.add(() => server.close())
  const client = await RtmpClient.connected(server.port)
  const [, , properties] = client.commands().find(([name]) => name === '_result') ?? []
  if (!(properties instanceof Map)) throw new Error('no properties')
  expect(properties.get('fourCcList')).toEqual(
    'avc1 hvc1 av01 vp09 mp4a .mp3 Opus fLaC ac-3 ec-3'.split(' '),
  )
  expect(properties.get('capsEx')).toBe(6)
  const videos = properties.get('videoFourCcInfoMap')
  expect(videos instanceof Map && videos.get('hvc1')).toBe(4)
})
