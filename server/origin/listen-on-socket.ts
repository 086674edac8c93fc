import { chmod, rm } from 'node:fs/promises'
import type { Server } from 'node:net'
import { NearcastError } from '../lib/errors.ts'

// unix(7): 108 bytes with the zero at their end.
const PATH_BYTES_MAX = 107
const PRIVATE = 0o600

/**
 * Listens on a unix socket that only this user can open; one that a killed process left is removed before. Gives 0, there
 * is no port. Throws `config-invalid` when no socket can be made there.
 */
export async function listenOnSocket(server: Server, path: string): Promise<number> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX)
    throw new NearcastError(
      'config-invalid',
      `data: the path of a socket has at most ${PATH_BYTES_MAX} bytes, and ${path} has more; name a shorter folder with --data`,
    )
  await rm(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) =>
      reject(new NearcastError('config-invalid', `${path}: no socket here (${error.code})`))
    server.once('error', refuse)
    server.listen({ path }, () => {
      server.off('error', refuse)
      resolve()
    })
  })
  await chmod(path, PRIVATE)
  return 0
}
