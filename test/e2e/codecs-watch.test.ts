import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { AudioCodec, VideoCodec } from '../../server/codecs/track.ts'
import { writeAmf0 } from '../../server/formats/flv/amf0.ts'
import { closeBrowserAfterAll, openPage } from '../support/browser.ts'
import { ccData, pair, withSei } from '../support/captions.ts'
import {
  audioTags,
  type Elementary,
  interleave,
  makeAudio,
  makeVideo,
  type Tag,
  videoTags,
} from '../support/enhanced-media.ts'
import { publishTags, type TagsPublisher } from '../support/publish-tags.ts'
import { startServer, type TestServer } from '../support/server.ts'

const require = createRequire(import.meta.url)
const HLS_JS = require.resolve('hls.js/dist/hls.min.js')
const LOOP_MS = 8000
const SECONDS = { seconds: LOOP_MS / 1000 }

let server: TestServer

closeBrowserAfterAll()
beforeAll(async () => {
  server = await startServer({ config: 'publish: { auth: open }\n' })
})
afterAll(() => server.stop())

/** What plain hls.js plays of a stream of the server, in a page of the server. */
async function watch(name: string) {
  const url = `${server.http}/live/${name}/index.m3u8`
  for (;;) if ((await fetch(url)).ok) break
  const { page, complaints } = await openPage(`${server.http}/player.js`)
  await page.setContent('<video muted></video>')
  await page.addScriptTag({ path: HLS_JS })
  // What runs in the page is text: hls.js is a global there.
  await page.evaluate(`(() => {
    window.failures = []
    window.ranges = new Map()
    const hls = new Hls({ enableWorker: false })
    hls.on(Hls.Events.ERROR, (_, { fatal, details, error }) => {
      // On a busy machine requests are late and pictures stand: hls.js says so, and goes on.
      if (fatal || /append|parsing|codec/i.test(details)) failures.push(details + ' ' + error?.message)
    })
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
      for (const range of Object.values(details.dateRanges)) ranges.set(range.id, range.attr)
    })
    window.said = ''
    hls.on(Hls.Events.FRAG_PARSING_USERDATA, (_, { samples }) => {
      // ATSC A/53 part 4 table 6.8: two bytes, then three for each pair.
      for (const { bytes = [] } of samples)
        for (let at = 2; at + 2 < bytes.length; at += 3)
          said += String.fromCharCode(bytes[at + 1] & 127, bytes[at + 2] & 127)
    })
    hls.on(Hls.Events.MANIFEST_PARSED, () => document.querySelector('video').play())
    hls.loadSource(${JSON.stringify(url)})
    hls.attachMedia(document.querySelector('video'))
    window.hls = hls
  })()`)
  return { page, complaints }
}

/** Two seconds of pictures on, with bytes of sound decoded. */
async function untilPlaying(page: Page): Promise<void> {
  await page.waitForFunction(`(() => {
    const video = document.querySelector('video')
    const { played } = video
    const shown = video.getVideoPlaybackQuality()
    return played.length > 0 && video.currentTime - played.start(0) > 2 &&
      video.videoWidth === 320 && shown.totalVideoFrames - shown.droppedVideoFrames > 25 &&
      video.webkitAudioDecodedByteCount > 1000
  })()`)
}

/** Of the picture that is shown: how many colours it has, in steps of 32. */
async function coloursShown(page: Page): Promise<number> {
  return page.evaluate<number>(`(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 })
    const context = canvas.getContext('2d')
    context.drawImage(document.querySelector('video'), 0, 0)
    const { data } = context.getImageData(0, 0, 320, 180)
    const seen = new Set()
    for (let at = 0; at < data.length; at += 4)
      seen.add([data[at] >> 5, data[at + 1] >> 5, data[at + 2] >> 5].join())
    return seen.size
  })()`)
}

async function publish(name: string, tags: readonly Tag[]): Promise<TagsPublisher> {
  return publishTags(Number(new URL(server.rtmp).port), name, tags, LOOP_MS)
}

const HDR = '-pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc'
const STREAMS: readonly (readonly [string, VideoCodec, AudioCodec, string, RegExp])[] = [
  ['AV1 and Opus', 'av1', 'opus', '', /CODECS="av01\.0\.\d\dM\.08,opus"/],
  ['VP9 and FLAC', 'vp9', 'flac', '', /CODECS="vp09\.00\.\d\d\.08,fLaC"/],
  ['AV1 in HDR', 'av1', 'opus', HDR, /CODECS="av01\.0\.\d\dM\.10,opus".*VIDEO-RANGE=PQ/],
]

it.each(STREAMS)(
  'a live stream of %s is played by hls.js in Chromium, picture and sound',
  async (title, video, audio, extra, master) => {
    const tags = interleave(
      videoTags(video, await makeVideo(video, { ...SECONDS, extra })),
      audioTags(audio, await makeAudio(audio, SECONDS)),
    )
    const name = title.replaceAll(' ', '-')
    const publisher = await publish(name, tags)
    try {
      const { page, complaints } = await watch(name)
      await untilPlaying(page)
      expect(await coloursShown(page)).toBeGreaterThan(20)
      expect(await (await fetch(`${server.http}/live/${name}/index.m3u8`)).text()).toMatch(master)
      expect(await page.evaluate('failures')).toEqual([])
      expect(complaints).toEqual([])
      await page.context().close()
    } finally {
      publisher.stop()
    }
  },
  120_000,
)

/** Roll-up captions of CEA-608 in field 1: two letters a picture, a new line after each 25. */
function captioned(stream: Elementary): Elementary {
  const RU2 = pair(0x14, 0x25)
  const NEW_LINE = pair(0x14, 0x2d)
  const LETTERS = [pair(0x4e, 0x45), pair(0x41, 0x52)]
  const frames = stream.frames.map((frame, i) => {
    const step = i % 25
    const said = step === 0 ? RU2 : step === 1 ? NEW_LINE : (LETTERS[step - 2] ?? [0x80, 0x80])
    return { ...frame, data: withSei('avc', frame.data, ccData([0, ...said])) }
  })
  return { ...stream, frames }
}

it('hls.js reads captions in the picture, and is told what a publisher says, also where that is hostile', async () => {
  const picture = captioned(await makeVideo('avc', { ...SECONDS, extra: '-bf 0' }))
  const tags = interleave(
    videoTags('avc', picture),
    audioTags('aac', await makeAudio('aac', SECONDS)),
  )
  const publisher = await publish('said', tags)
  try {
    const { page, complaints } = await watch('said')
    await untilPlaying(page)
    const hostile = '"},{$token}\n#EXT-X-ENDLIST\u2028#EXTINF:1,\u2029http://127.0.0.1/x.mp4'
    publisher.say(writeAmf0('onTextData', { text: hostile }))
    publisher.say(writeAmf0('onCuePoint', { name: 'goal', parameters: { minute: 90 } }))
    await page.waitForFunction('ranges.size === 2')
    expect(
      await page.evaluate('[...ranges.values()].map((range) => ({ ...range }))'),
    ).toMatchObject([
      {
        CLASS: 'onTextData',
        'X-TEXT': "'},{token} #EXT-X-ENDLIST #EXTINF:1, http://127.0.0.1/x.mp4",
      },
      { CLASS: 'onCuePoint', 'X-NAME': 'goal', 'X-PARAMETERS-MINUTE': '90' },
    ])
    // Whether hls.js shows what it read depends on the moment at which it began: it drops cues over a range that it took for long.
    await page.waitForFunction("said.includes('NEAR')")
    await page.waitForFunction(
      `[...document.querySelector('video').textTracks].some(({ kind }) => kind === 'captions')`,
    )
    const label = await page.evaluate<string>(
      `[...document.querySelector('video').textTracks].find(({ kind }) => kind === 'captions').label`,
    )
    expect(label).toBe('CC1')
    // It goes on: neither ended the playlist nor broke it.
    const at = await page.evaluate<number>(`document.querySelector('video').currentTime`)
    await page.waitForFunction(`document.querySelector('video').currentTime > ${at + 2}`)
    expect(await page.evaluate('failures')).toEqual([])
    expect(complaints).toEqual([])
    await page.context().close()
  } finally {
    publisher.stop()
  }
}, 120_000)
