import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PROJECT } from '../support/server.ts'

/** A web site that is not the server's own: another port is another origin. */
export interface PageServer {
  /** A page that holds an iframe. */
  framed(url: string): string
  /** A page of plain hls.js, without anything of the player's. */
  plainHls(playlist: string): string
  /** A page of one video element: what the browser itself takes. */
  bareVideo(source: string): string
  /** A page with the server's web component and any source. */
  component(server: string, source: string): string
  close(): void
}

const HLS_JS = 'node_modules/hls.js/dist/hls.min.js'

/** Starts it on a free port of 127.0.0.1. */
export async function startPageServer(): Promise<PageServer> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://127.0.0.1')
    const text = (name: string) => (url.searchParams.get(name) ?? '').replaceAll('"', '&quot;')
    if (url.pathname === '/hls.js') {
      response.setHeader('content-type', 'text/javascript')
      response.end(readFileSync(join(PROJECT, HLS_JS)))
      return
    }
    response.setHeader('content-type', 'text/html; charset=utf-8')
    const body = {
      '/framed': `<iframe src="${text('url')}" width="640" height="360" allow="autoplay"></iframe>`,
      '/video': `<video muted autoplay width="640" src="${text('url')}"></video>`,
      '/hls': `<video muted width="640"></video><script src="/hls.js"></script><script>${PLAY}</script>`,
      '/component': `<script type="module" src="${text('server')}/player.js"></script>
        <nearcast-player src="${text('url')}" autoplay="muted" style="width:640px"></nearcast-player>`,
    }[url.pathname]
    response.end(`<!doctype html><link rel="icon" href="data:,">${body ?? ''}`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // It listens on TCP, so this is no path.
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const page = (path: string, values: Record<string, string>) =>
    `${base}${path}?${new URLSearchParams(values)}`
  return {
    framed: (url) => page('/framed', { url }),
    plainHls: (url) => page('/hls', { url }),
    bareVideo: (url) => page('/video', { url }),
    component: (from, url) => page('/component', { server: from, url }),
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

const PLAY = `
const video = document.querySelector('video')
const hls = new Hls()
hls.loadSource(new URLSearchParams(location.search).get('url'))
hls.attachMedia(video)
hls.on(Hls.Events.MANIFEST_PARSED, () => video.play())
`
