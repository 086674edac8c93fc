import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'

const PORTS: Readonly<Record<string, number>> = {
  'rtmp:': 1935,
  'rtmps:': 443,
  'rtsp:': 554,
  'http:': 80,
  'https:': 443,
}

/** A URL leads to a port that this server listens on: what is fetched from there could come from where it goes to. */
export async function isOwnAddress(url: string, ports: ReadonlySet<number>): Promise<boolean> {
  const { hostname } = new URL(url)
  if (!ports.has(portOf(url))) return false
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const found = isIP(host) === 0 ? await lookup(host, { all: true }) : [{ address: host }]
  const own = Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).map((one) => one.address),
  )
  return found.some(
    ({ address }) =>
      /^(?:127\.|0\.0\.0\.0$|::1$|::$|::ffff:(?:127\.|7f))/i.test(address) || own.includes(address),
  )
}

/** The port that a URL leads to, said or not. */
export function portOf(url: string): number {
  const { protocol, port } = new URL(url)
  return Number(port) || (PORTS[protocol] ?? 0)
}
