import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { describeError, NearcastError } from './errors.ts'

/** PEM files that say who a listener is. */
export interface TlsFiles {
  readonly cert: string
  readonly key: string
}

/**
 * A certificate and its key, read and tried together. Throws `config-invalid`, naming the setting below `group` and the file, for one
 * that cannot be read, and for two that do not belong together.
 */
export async function readTlsPair(
  files: TlsFiles,
  group: string,
): Promise<{ readonly cert: Buffer; readonly key: Buffer }> {
  const [cert, key] = await Promise.all([
    readPem(files.cert, `${group}.cert`),
    readPem(files.key, `${group}.key`),
  ])
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    // OpenSSL's words name no bytes of the key.
    const reason = describeError(error)
    throw new NearcastError(
      'config-invalid',
      `${group}: certificate and key do not work: ${files.cert}, ${files.key}: ${reason}`,
    )
  }
  return { cert, key }
}

async function readPem(file: string, setting: string): Promise<Buffer> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'there is no such file' : `cannot be read (${error.code})`
    throw new NearcastError('config-invalid', `${setting}: ${file}: ${why}`)
  })
}
