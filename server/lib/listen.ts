import type { Server } from 'node:net'
import { NearcastError } from './errors.ts'

/**
 * Starts listening and gives the port (a free one for 0). `0.0.0.0` means every address, IPv6 too; `name` is the
 * group of settings that host and port come from.
 * Throws `port-taken` with the port, or `config-invalid` when the host or port is none of ours to use.
 */
export async function listen(
  server: Server,
  where: {
    readonly name: string
    readonly host: string
    readonly port: number
    /** In a worker process: not the port that all of them share. */
    readonly exclusive?: boolean | undefined
  },
): Promise<number> {
  const { exclusive = false } = where
  const everywhere = where.host === '0.0.0.0' || where.host === '::'
  try {
    await listenOnce(server, everywhere ? '::' : where.host, where.port, exclusive)
  } catch (error) {
    // A kernel without IPv6 knows only the other address.
    if (!everywhere || codeOf(error) !== 'EAFNOSUPPORT') throw explain(error, where)
    await listenOnce(server, '0.0.0.0', where.port, exclusive).catch((second: unknown) => {
      throw explain(second, where)
    })
  }
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : where.port
}

function listenOnce(server: Server, host: string, port: number, exclusive: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function explain(
  error: unknown,
  where: { readonly name: string; readonly host: string; readonly port: number },
): unknown {
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return new NearcastError(
        'port-taken',
        `${where.name}: port ${where.port} is in use; choose another with ${variableOf(where.name)} or ${where.name}.port`,
      )
    case 'EACCES':
      return new NearcastError(
        'config-invalid',
        `${where.name}: port ${where.port} needs more rights than this process has`,
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new NearcastError(
        'config-invalid',
        `${where.name}: host ${where.host} is no address of this machine`,
      )
    default:
      return error
  }
}

function variableOf(name: string): string {
  return `NEARCAST_${name.toUpperCase()}_PORT`
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
