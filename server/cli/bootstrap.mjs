// `npm start`, `npm test` and the others. Old Node must be able to parse this file, to say that it is too old.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
// By its name, because an old Node lacks some of it and must still come to its own version check.
import * as os from 'node:os'
import { delimiter, join } from 'node:path'
import {
  at,
  env,
  EXIT_FAILED,
  EXIT_MISSING,
  EXIT_USAGE,
  prepare,
  say,
  seconds,
  Stop,
  tool,
} from './setup.mjs'

const NODE_MINIMUM = [20, 19]
const FUZZ_RUNS_DEEP = '20000'

const commands = {
  start: async (args) => {
    await prepare({ ffmpeg: 'wanted', build: true })
    return serve(args)
  },
  build: async () => {
    await prepare({ build: true })
    return 0
  },
  test: async (args) => {
    await prepare({ ffmpeg: 'needed', chromium: true, build: true })
    return vitest(['run', ...args])
  },
  'test-s3': async (args) => {
    await prepare({ ffmpeg: 'needed', build: true })
    return vitest(['run', '--config', 'vitest.s3.config.ts', ...args])
  },
  fuzz: async (args) => {
    await prepare({ ffmpeg: 'needed' })
    env.FUZZ_RUNS = env.FUZZ_RUNS || FUZZ_RUNS_DEEP
    return vitest(['run', '--testTimeout=600000', ...(args.length > 0 ? args : ['.fuzz.test.ts'])])
  },
  bench: async (args) => {
    await prepare({ ffmpeg: 'needed' })
    return bench(args)
  },
  check: async () => {
    await prepare({})
    return check()
  },
  packages: async () => {
    await prepare({})
    return 0
  },
}

async function main(name, args) {
  try {
    checkNode()
    const command = Object.hasOwn(commands, String(name)) ? commands[name] : undefined
    if (!command)
      throw new Stop(EXIT_USAGE, `${name}: unknown; one of ${Object.keys(commands).join(', ')}`)
    return await command(args)
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    process.stderr.write(`nearcast: ${error.message}\n`)
    return error.code
  }
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > NODE_MINIMUM[0] || (major === NODE_MINIMUM[0] && minor >= NODE_MINIMUM[1])) return
  throw new Stop(
    EXIT_MISSING,
    `Node ${NODE_MINIMUM.join('.')} or newer is needed, this is ${process.versions.node}; get it from https://nodejs.org/en/download`,
  )
}

/** The server as a child of its own session: Ctrl-C reaches this process, which passes it on exactly once. */
function serve(args) {
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', at('dist', 'server', 'main.js'), ...args],
    { stdio: 'inherit', env, detached: true },
  )
  let passedOn = false
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'])
    process.on(signal, () => {
      if (passedOn) return
      passedOn = true
      child.kill(signal === 'SIGHUP' ? 'SIGTERM' : signal)
    })
  return ended(child)
}

function vitest(args) {
  return ended(
    spawn(process.execPath, [tool('vitest'), ...args], { stdio: 'inherit', env, cwd: at() }),
  )
}

/** All `check:…` scripts, as many at a time as there are cores; each says what it found when it is done. */
async function check() {
  const { scripts } = JSON.parse(readFileSync(at('package.json'), 'utf8'))
  const waiting = Object.keys(scripts).filter((name) => name.startsWith('check:'))
  let failed = 0
  const work = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const started = performance.now()
      const child = spawn(scripts[name], {
        shell: true,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...env, PATH: `${at('node_modules', '.bin')}${delimiter}${env.PATH}` },
        cwd: at(),
      })
      const said = []
      child.stdout.on('data', (chunk) => said.push(chunk))
      child.stderr.on('data', (chunk) => said.push(chunk))
      const code = await ended(child)
      if (code !== 0) failed += 1
      if (code !== 0) process.stdout.write(Buffer.concat(said))
      say(`${name} ${code === 0 ? 'ok' : 'FAILED'} in ${seconds(started)}`)
    }
  }
  await Promise.all(Array.from({ length: Math.max(2, os.availableParallelism()) }, work))
  return failed === 0 ? 0 : EXIT_FAILED
}

async function bench(args) {
  const folder = at('test', 'bench')
  const known = existsSync(folder)
    ? readdirSync(folder)
        .filter((file) => file.endsWith('.bench.ts'))
        .map((file) => file.slice(0, -'.bench.ts'.length))
    : []
  if (args[0] === '--list') {
    process.stdout.write(known.map((name) => `${name}\n`).join(''))
    return 0
  }
  const [name, ...rest] = args
  if (name !== undefined && !known.includes(name))
    throw new Stop(EXIT_USAGE, `no bench ${name}; there are: ${known.join(', ') || 'none'}`)
  for (const one of name === undefined ? known : [name]) {
    say(`bench ${one}`)
    const file = join(folder, `${one}.bench.ts`)
    const code = await ended(
      spawn(process.execPath, [tool('tsx'), file, ...rest], { stdio: 'inherit', env, cwd: at() }),
    )
    if (code !== 0) return code
  }
  return 0
}

function ended(child) {
  return new Promise((resolve) => {
    child.on('error', (error) => {
      say(error.message)
      resolve(EXIT_FAILED)
    })
    child.on('exit', (code, signal) => resolve(code ?? 128 + os.constants.signals[signal]))
  })
}

process.exitCode = await main(process.argv[2], process.argv.slice(3))
