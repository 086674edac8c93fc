import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { peerAddress } from '../lib/peer-address.ts'

/** The other end of a connection. */
export interface Remote {
  /** IPv4 addresses in their own form. */
  readonly address: string
  /** With the port. */
  readonly text: string
  readonly protocol: 'rtmp' | 'rtmps'
}

export function remoteOf(socket: Socket): Remote {
  const address = peerAddress(socket)
  const host = address.includes(':') ? `[${address}]` : address
  const protocol = socket instanceof TLSSocket ? 'rtmps' : 'rtmp'
  return { address, text: `${host}:${socket.remotePort}`, protocol }
}
