import { stat } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { createServer } from 'node:tls'
import type { Clock } from '../lib/clock.ts'
import { describeError } from '../lib/errors.ts'
import { listen } from '../lib/listen.ts'
import type { Log } from '../lib/log.ts'
import { readTlsPair, type TlsFiles } from '../lib/tls-pair.ts'

/** Where RTMP over TLS is taken, and the PEM files that say who this server is. */
export interface RtmpsOptions extends TlsFiles {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
}

export interface RtmpsDoor {
  readonly port: number
  /** Takes no more connections; those there are are their sessions' to close. */
  close(): Promise<void>
}

const LOOK_MS = 10_000

/**
 * RTMP inside TLS: whose handshake is done comes to `accept` as a socket like any other. Changed files are taken up while it runs; while
 * they can't be used, the former certificate stays. Throws `config-invalid` for files that can't be used, and `port-taken`.
 */
export async function openRtmpsDoor(
  options: RtmpsOptions,
  deps: {
    readonly clock: Clock
    readonly log: Log
    readonly handshakeMs: number
    readonly connections: number
  },
  accept: (socket: Socket) => void,
): Promise<RtmpsDoor> {
  const { clock, log } = deps
  let seen = await stampOf(options)
  const server = createServer({
    ...(await readTlsPair(options, 'rtmps')),
    handshakeTimeout: deps.handshakeMs,
  })
  // Also of those whose handshake is not done, which are no sessions yet.
  server.maxConnections = deps.connections
  server.on('secureConnection', accept)
  server.on('tlsClientError', (error, socket) => {
    log.debug('rtmps handshake failed', { error: describeError(error) })
    socket.destroy()
  })
  const port = await listen(server, { ...options, name: 'rtmps' })
  server.on('error', (error) => log.error('rtmps listener', { error: describeError(error) }))

  const look = async () => {
    const now = await stampOf(options)
    if (now === seen) return
    seen = now
    try {
      server.setSecureContext(await readTlsPair(options, 'rtmps'))
      log.info('rtmps certificate was read anew', { file: options.cert })
    } catch (error) {
      const reason = describeError(error)
      log.error('rtmps certificate cannot be used, the former one stays', { reason })
    }
  }
  const looking = clock.every(LOOK_MS, () => void look())
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        looking[Symbol.dispose]()
        server.close(() => resolve())
      }),
  }
}

/** Another one whenever a file was written or put in the place of another. */
async function stampOf(options: RtmpsOptions): Promise<string> {
  const stamps = await Promise.all(
    [options.cert, options.key].map(async (file) => {
      try {
        const { mtimeMs, ino, size } = await stat(file)
        return `${mtimeMs} ${ino} ${size}`
      } catch {
        return 'missing'
      }
    }),
  )
  return stamps.join(' ')
}
