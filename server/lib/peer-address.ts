import type { Socket } from 'node:net'

/** IP address of the other end, an IPv4 one in its own form (RFC 4291 §2.5.5.2: a socket of both families maps it); '' once it has gone. */
export function peerAddress({ remoteAddress = '' }: Pick<Socket, 'remoteAddress'>): string {
  return remoteAddress.replace(/^::ffff:(?=\d+\.)/i, '')
}
