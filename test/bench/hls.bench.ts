import { startServer } from '../support/server.ts'
import { type Followed, followStream } from '../support/hls-follow.ts'
import { publishPicture } from '../support/publish-picture.ts'
import { report } from './report.ts'

// A strict low-latency client follows a running stream and names each rule of rfc8216bis-22 that it breaks.
// npm run bench -- hls [URL of a multivariant playlist] [parts of each rendition]; without a URL: one of its own.
const [url, parts = '150'] = process.argv.slice(2)
if (url === undefined) {
  await using server = await startServer()
  const publisher = publishPicture(`${server.rtmp}/${server.streamKey}`)
  show(await follow(await begun(`${server.http}/live/main/index.m3u8`), 'origin'))
  await publisher.stop()
} else {
  show(await follow(url, 'cache'))
}

function follow(from: string, tier: 'origin' | 'cache'): Promise<Followed> {
  return followStream({ url: from, parts: Number(parts), tier })
}

/** The server holds the first viewer until the stream is there, for a while. */
async function begun(playlist: string): Promise<string> {
  for (;;) if ((await fetch(playlist)).status === 200) return playlist
}

function show({ violations, renditions, ...seen }: Followed): void {
  console.table({ renditions: renditions.length, ...seen })
  for (const wrong of violations) console.log(wrong)
  report([
    {
      figure: 'rules of rfc8216bis-22 that are broken',
      asked: '0',
      measured: String(violations.length),
      holds: violations.length === 0,
    },
  ])
}
