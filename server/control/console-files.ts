import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { mediaTypeOf } from '../http/media-type.ts'

export interface ConsoleFile {
  readonly body: Buffer
  readonly type: string
  readonly etag: string
  /** Its name holds a hash of what is in it. */
  readonly immutable: boolean
}

/** The built console by address (`/`, `/assets/…`), read once; empty when it was not built. */
export async function readConsoleFiles(folder: string): Promise<ReadonlyMap<string, ConsoleFile>> {
  const files = new Map<string, ConsoleFile>()
  const names = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  for (const entry of names) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const address = path.slice(folder.length).replaceAll(sep, '/').replace(/^\/*/, '/')
    const body = await readFile(path)
    files.set(address === '/index.html' ? '/' : address, {
      body,
      type: mediaTypeOf(path),
      etag: `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`,
      immutable: address.startsWith('/assets/'),
    })
  }
  return files
}
