import { join } from 'node:path'
import type { Config } from './config/config.ts'
import { findBehavior, findDistribution } from './distribution/match.ts'
import type { Distribution, WebDistribution } from './distribution/types.ts'
import type { Running } from './main-start.ts'

type Row = readonly [label: string, text: string]

/** What a server that has just become ready says of itself: where to publish, watch and administer. */
export function banner(running: Running, config: Config): string {
  const { ready, warnings } = running
  const rows: readonly Row[] = [
    ...publishRows(running, config),
    ...srtRows(running, config),
    ...(ready.http ? viewerRows(ready.http, running) : []),
    ...controlRows(running, config),
    ...(ready.origin
      ? [['edges', `${ready.origin}   (for a second process: NEARCAST_ROLE=edge)`] as const]
      : []),
    ...warnings.map((warning) => ['note', warning] as const),
  ]
  const lines = rows.map(([label, text]) => `  ${label.padEnd(10)} ${text}`)
  return `\nNearcast is ready.\n\n${lines.join('\n')}\n\n`
}

/** The one that a new server has, while it is there: its key may be the newest after a rotation. */
function firstStream<T extends { readonly name: string }>(streams: readonly T[]): T | undefined {
  return streams.find(({ name }) => name === 'main') ?? streams[0]
}

function publishRows({ ready, first }: Running, config: Config): readonly Row[] {
  if (!ready.rtmp) return []
  const stream = firstStream(ready.streams)
  const servers: readonly Row[] = [
    ['publish', `${ready.rtmp}   (OBS: Settings > Stream > Service "Custom", Server)`],
    ...(ready.rtmps ? [['', `${ready.rtmps}   (the same over TLS)`] as const] : []),
  ]
  if (config.publish.auth === 'open') return [...servers, ['', 'stream key: any name you like']]
  if (!stream) return [...servers, ['', 'stream key: none yet; npx nearcast key create NAME']]
  const key = first
    ? `stream key: ${stream.key}   (for stream "${stream.name}")`
    : `stream key: in ${readyFile(config)}; another: npx nearcast key create NAME`
  return [...servers, ['', key]]
}

function srtRows({ ready }: Running, { srt }: Config): readonly Row[] {
  const open = new Set(
    srt.streams.filter(({ passphrase }) => passphrase === undefined).map(({ name }) => name),
  )
  return (ready.srt ?? []).map(({ name, url }, i) => {
    const who = open.has(name) ? 'no passphrase: anybody may publish' : 'with its passphrase'
    return [i === 0 ? 'srt' : '', `${url}   (stream "${name}", ${who})`] as const
  })
}

/** Only addresses that some distribution answers: a configuration of one's own may have no player and no host of this machine. */
function viewerRows(http: string, { ready, distributions }: Running): readonly Row[] {
  const local = findLocal(http, distributions)
  if (!local) {
    const hosts = distributions.flatMap((one) =>
      one.kind === 'web' && one.enabled ? one.hosts : [],
    )
    return [['viewers', `${http}   (by host name: ${hosts.join(', ') || 'none yet'})`]]
  }
  const { address, distribution } = local
  const servedBy = (path: string) => findBehavior(distribution, path)?.origin
  const watched = servedBy('/watch/x') === 'pages'
  const rows: Row[] = []
  if (watched && servedBy('/live/x/index.m3u8') === 'live')
    rows.push(['watch', `${address}/watch/live/${firstStream(ready.streams)?.name ?? 'NAME'}`])
  if (watched && servedBy('/vod/x.mp4/index.m3u8') === 'vod')
    rows.push([
      rows.length > 0 ? '' : 'watch',
      `${address}/watch/vod/NAME.mp4   (a file in the media folder or bucket)`,
    ])
  return [...rows, [servedBy('/') === undefined ? 'viewers' : 'site', `${address}/`]]
}

function findLocal(
  http: string,
  distributions: readonly Distribution[],
): { readonly address: string; readonly distribution: WebDistribution } | undefined {
  const { hostname, port } = new URL(http)
  for (const name of [hostname, 'localhost']) {
    const distribution = findDistribution(distributions, name)
    if (distribution) return { address: `http://${name}:${port}`, distribution }
  }
  return undefined
}

function controlRows({ ready, first }: Running, config: Config): readonly Row[] {
  if (!ready.control) return []
  return first
    ? [
        ['console', `${ready.control}/#token=${ready.adminToken}`],
        ['', `admin token: ${ready.adminToken}   (kept in ${readyFile(config)} while it runs)`],
      ]
    : [
        ['console', `${ready.control}/`],
        ['', `admin token: in ${readyFile(config)}`],
      ]
}

function readyFile({ data }: Config): string {
  return join(data, 'ready.json')
}
