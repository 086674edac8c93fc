import { collect } from '../../server/lib/bytes.ts'
import type { Body } from '../../server/http/message.ts'

/** What a player asks for until it has a picture: master, media playlist, init section, first segment. */
export async function readFilmThrough(
  get: (path: string) => Promise<Body>,
  master: string,
): Promise<{ readonly init: Buffer; readonly segment: Buffer }> {
  const read = async (path: string) => {
    const body = await get(path)
    if (body === null) return Buffer.alloc(0)
    return body instanceof Uint8Array ? Buffer.from(body) : collect(body)
  }
  const media = resolve(master, lastLine((await read(master)).toString()))
  const text = (await read(media)).toString()
  const init = /#EXT-X-MAP:URI="([^"]+)"/.exec(text)?.[1] ?? ''
  const first = text.split('\n').find((line) => line !== '' && !line.startsWith('#')) ?? ''
  return { init: await read(resolve(media, init)), segment: await read(resolve(media, first)) }
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1) ?? ''
}

function resolve(base: string, uri: string): string {
  return new URL(uri, `http://origin${base}`).pathname
}
