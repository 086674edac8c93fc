/**
 * App and stream name as one path without queries, prefixes and spare slashes. The split between the two is the
 * client's guess: for `rtmp://HOST/live/main` one sends `live` + `main`, another `live/main` + ``.
 */
export function joinStreamPath(app: string, name: string): readonly string[] {
  const plain = `${withoutQuery(app)}/${withoutQuery(name)}`
  return plain
    .split('/')
    .map((part) => part.replace(PREFIX, ''))
    .filter((part) => part !== '')
}

/** The live stream's name or key in `rtmp://HOST/live/…`; undefined for another application. */
export function liveNameOf(path: readonly string[]): string | undefined {
  const [app, name, ...more] = path
  return app === LIVE_APP && more.length === 0 ? name : undefined
}

/** What a player is told; stored media is known by the applications that an `rtmp` distribution has. */
export function whyNotFound([app, instance]: readonly string[]): string {
  return app === 'vod' || (app === 'cfx' && instance === 'st')
    ? 'Stored media over RTMP is not in this version.'
    : 'Nobody is sending this stream.'
}

/** With `publish.auth: open` the stream key is the name; it becomes part of URLs and file names. */
export function isStreamName(name: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(name)
}

const LIVE_APP = 'live'
/** What players put before a name to tell the container; ffmpeg does so on its own. */
const PREFIX = /^(?:mp4|flv|mp3|f4v):/

function withoutQuery(text: string): string {
  const mark = text.indexOf('?')
  return mark < 0 ? text : text.slice(0, mark)
}
