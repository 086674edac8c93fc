import { access, mkdtemp, rm, symlink } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { tmpdir } from 'node:os'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { newCommand, runCommand } from '../../server/transcode/ffmpeg.ts'

/** Makes a few pictures and throws them away. */
function run(path: string | undefined): Promise<void> {
  const output = new PassThrough()
  output.resume()
  const command = newCommand({ path }).input('testsrc=duration=0.1').inputFormat('lavfi')
  return runCommand(command.format('flv').output(output), { clock: systemClock, ms: 20_000 })
}

async function programInPath(): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'ffmpeg')
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path
  }
  throw new Error('no ffmpeg in PATH')
}

test('each command is of the ffmpeg that it names, whatever another one named', async () => {
  await run(undefined)
  await expect(run('/nowhere/ffmpeg')).rejects.toThrow(/127|ENOENT/)
  await run(undefined)
})

test('an ffmpeg that has gone since it was used is an error, and ends nothing else', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-ffmpeg-'))
  const path = join(folder, 'ffmpeg')
  await symlink(await programInPath(), path)
  await run(path)
  await rm(folder, { recursive: true })
  await expect(run(path)).rejects.toThrow(/127|ENOENT/)
})
