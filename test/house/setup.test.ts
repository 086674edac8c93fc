import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PROJECT } from '../support/server.ts'

// A clone with the two files that prepare it, an npm and an apt-get that only note what they were asked, and nothing else.
let clone: string
let programs: string
let journal: string

const program = async (name: string, lines: string) => {
  const path = join(programs, name)
  await writeFile(path, `#!/bin/sh\necho "${name} $*" >> '${journal}'\n${lines}\n`)
  await chmod(path, 0o755)
}
const link = (name: string) => symlink(`/usr/bin/${name}`, join(programs, name))
const asked = async () =>
  (await readFile(journal, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '')

beforeEach(async () => {
  clone = await mkdtemp(join(tmpdir(), 'nearcast-clone-'))
  programs = join(clone, 'programs')
  journal = join(clone, 'journal')
  await mkdir(programs)
  await mkdir(join(clone, 'server', 'cli'), { recursive: true })
  for (const file of ['bootstrap.mjs', 'setup.mjs'])
    await copyFile(join(PROJECT, 'server/cli', file), join(clone, 'server/cli', file))
  await writeFile(
    join(clone, 'package-lock.json'),
    JSON.stringify({ packages: { '': {}, 'node_modules/a': { version: '1.0.0' } } }),
  )
  for (const name of ['env', 'mkdir', 'cp', 'chmod', 'sleep']) await link(name)
  await program(
    'npm',
    `echo "cache $npm_config_cache" >> '${journal}'; sleep 0.2; mkdir -p node_modules`,
  )
  // Asked by whoever is not root whether it may.
  await program('sudo', '[ "$2" = true ] && exit 0; shift; exec "$@"')
})
afterEach(() => rm(clone, { recursive: true }))

async function run(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [join(clone, 'server/cli/bootstrap.mjs'), ...args], {
    cwd: clone,
    env: { PATH: programs, HOME: clone, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = await once(child, 'close')
  return { code, output }
}

describe('node packages', () => {
  const installs = async () => (await asked()).filter((line) => line.startsWith('npm ci'))

  it('are installed once, and again when the lock file changes', async () => {
    expect((await run(['packages'])).output).toContain('installing node packages')
    expect(await run(['packages'])).toEqual({ code: 0, output: '' })
    expect(await installs()).toHaveLength(1)
    await writeFile(join(clone, 'package-lock.json'), '{"packages":{"":{}},"changed":true}')
    await run(['packages'])
    expect(await installs()).toHaveLength(2)
  })

  it('are installed once by commands that start together', async () => {
    const ends = await Promise.all([run(['packages']), run(['packages']), run(['packages'])])
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0])
    expect(await installs()).toHaveLength(1)
  })

  it('are left alone when npm has put the locked versions there already', async () => {
    await mkdir(join(clone, 'node_modules'))
    const hidden = join(clone, 'node_modules', '.package-lock.json')
    await writeFile(hidden, '{"packages":{"node_modules/a":{"version":"1.0.0"}}}')
    expect(await run(['packages'])).toEqual({ code: 0, output: '' })
    await rm(join(clone, 'node_modules', '.nearcast-packages'))
    await writeFile(hidden, '{"packages":{"node_modules/a":{"version":"0.9.0"}}}')
    await run(['packages'])
    expect(await installs()).toHaveLength(1)
  })

  it('go on where a killed set-up left its lock', async () => {
    const gone = spawn('/bin/true')
    await once(gone, 'exit')
    await writeFile(join(clone, '.setup.lock'), String(gone.pid))
    expect((await run(['packages'])).code).toBe(0)
    expect(await installs()).toHaveLength(1)
  })

  it('are installed without a home folder, development ones too', async () => {
    await run(['packages'], { HOME: '', NODE_ENV: 'production' })
    expect(await asked()).toContainEqual(expect.stringMatching(/^cache .*nearcast-npm-\d+$/))
    expect(await installs()).toEqual([expect.stringContaining('--include=dev')])
  })

  it('end the command with 1 and one line when npm fails, and with 3 without an npm', async () => {
    await program('npm', 'exit 1')
    const failed = await run(['packages'])
    expect(failed.code).toBe(1)
    expect(failed.output).toContain('npm ci failed')
    await rm(join(programs, 'npm'))
    const missing = await run(['packages'])
    expect(missing.code).toBe(3)
    expect(missing.output).toContain('npm is missing: install Node')
  })
})

describe('ffmpeg and Chromium', () => {
  beforeEach(async () => {
    await writeFile(join(clone, 'package-lock.json'), '{"packages":{"":{}}}')
    await mkdir(join(clone, 'node_modules'))
    await writeFile(join(clone, 'node_modules', '.package-lock.json'), '{"packages":{}}')
  })
  const installer = (name: string) =>
    `for last; do :; done; [ "$last" = ${name} ] && cp '${programs}/chmod' '${programs}/${name}'; exit 0`

  it('are installed by apt-get without a question', async () => {
    await program('apt-get', installer('ffmpeg'))
    await run(['fuzz'])
    const installs = (await asked()).filter((line) => line.startsWith('apt-get'))
    expect(installs.at(-1)).toMatch(/install -y -q --no-install-recommends ffmpeg$/)
  })

  it('end the command with 3 and the cure where they cannot be installed', async () => {
    const end = await run(['fuzz'])
    expect(end).toEqual({
      code: 3,
      output: 'nearcast: ffmpeg is missing: apt-get install ffmpeg (or set FFMPEG_PATH)\n',
    })
    const wrong = await run(['fuzz'], { FFMPEG_PATH: '/nowhere/ffmpeg' })
    expect(wrong.code).toBe(3)
    expect(wrong.output).toContain('FFMPEG_PATH=/nowhere/ffmpeg is no program')
    await program('ffmpeg', '')
    expect((await run(['test'])).output).toContain('Chromium is missing: apt-get install chromium')
  })

  it('update the package lists when installing fails without', async () => {
    await program('apt-get', 'exit 1')
    await run(['fuzz'])
    const steps = (await asked()).filter((line) => line.startsWith('apt-get'))
    expect(steps.at(-1)).toMatch(/update -q$/)
  })
})

describe('a command', () => {
  it('that is not known ends with 2 and those that are', async () => {
    const end = await run(['strat'])
    expect(end.code).toBe(2)
    expect(end.output).toContain('strat: unknown; one of start, build, test')
  })

  it('gives its own ports of call: benches by name', async () => {
    await mkdir(join(clone, 'node_modules'))
    await writeFile(join(clone, 'package-lock.json'), '{"packages":{"":{}}}')
    await writeFile(join(clone, 'node_modules', '.package-lock.json'), '{"packages":{}}')
    await program('ffmpeg', '')
    await mkdir(join(clone, 'test', 'bench'), { recursive: true })
    await writeFile(join(clone, 'test', 'bench', 'fill.bench.ts'), '')
    expect(await run(['bench', '--list'])).toEqual({ code: 0, output: 'fill\n' })
    const end = await run(['bench', 'fil'])
    expect([end.code, end.output]).toEqual([2, expect.stringContaining('there are: fill')])
  })
})
