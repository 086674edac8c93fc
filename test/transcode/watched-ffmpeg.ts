import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** An ffmpeg that writes down what stands on its command line, as the process list shows it. */
export async function watchedFfmpeg() {
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-ffmpeg-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const [path, file] = [join(folder, 'ffmpeg'), join(folder, 'lines')]
  await writeFile(path, `#!/bin/sh\necho "$*" >> '${file}'\nexec ffmpeg "$@"\n`)
  await chmod(path, 0o700)
  return { path, commandLines: () => readFile(file, 'utf8') }
}
