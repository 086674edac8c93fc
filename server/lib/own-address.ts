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
  if (!ports.has(portOf(url))) return false
  const host = hostOf(url)
  if (isIP(host) !== 0) return isOwn(host)
  return (await lookup(host, { all: true })).some(({ address }) => isOwn(address))
}

/** The same, as far as it can be said without a name server: for addresses and `localhost`. */
export function saysOwnAddress(url: string, ports: ReadonlySet<number>): boolean {
  if (!ports.has(portOf(url))) return false
  const host = hostOf(url)
  // RFC 6761 §6.3: names below localhost are this machine.
  return isIP(host) === 0 ? /^(?:.+\.)?localhost\.?$/i.test(host) : isOwn(host)
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')
}

function isOwn(address: string): boolean {
  if (/^(?:127\.|0\.0\.0\.0$|::1$|::$|::ffff:(?:127\.|7f))/i.test(address)) return true
  return Object.values(networkInterfaces()).some((all) =>
    all?.some((one) => one.address === address),
  )
}

/** The port that a URL leads to, said or not. */
export function portOf(url: string): number {
  const { protocol, port } = new URL(url)
  return Number(port) || (PORTS[protocol] ?? 0)
}
