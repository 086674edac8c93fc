// What a command needs on this machine: node packages, ffmpeg, Chromium, the build. Plain JavaScript without packages,
// because it runs in a clone that has Node and nothing else.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
export const at = (...names) => join(ROOT, ...names)
/** The environment given to everything that is started; `prepare` adds what it found. */
export const env = {
  ...process.env,
  // Its version is pinned: what later ones need is no news to who runs this one.
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
}

const PACKAGES_STAMP = at('node_modules', '.nearcast-packages')
const LOCK_FILE = at('.setup.lock')
const LOCK_POLL_MS = 200
// A lock file without a pid is one that was made this instant, or whose maker died in it.
const LOCK_EMPTY_MS = 10_000
// A machine without a network must not ask its package mirror again at each start.
const FFMPEG_RETRY_MS = 24 * 3600 * 1000

export const EXIT_FAILED = 1
export const EXIT_USAGE = 2
export const EXIT_MISSING = 3

/** Ends the program with `code` and one line. */
export class Stop extends Error {
  constructor(code, message) {
    super(message)
    this.code = code
  }
}

/** Makes sure of what a command needs; takes the lock only when something is missing. */
export async function prepare(needs) {
  // Without a HOME, Chromium and others write where they stand.
  if (needs.ffmpeg === 'needed' && !env.HOME)
    env.HOME = mkdtempSync(join(tmpdir(), 'nearcast-home-'))
  const todo = () => [
    ...(packagesReady() ? [] : [installPackages]),
    ...(needs.ffmpeg && !findFfmpeg() ? [() => installFfmpeg(needs.ffmpeg)] : []),
    ...(needs.chromium && !findChromium() ? [installChromium] : []),
    ...(needs.build ? parts.filter((part) => !part.ready()).map((part) => () => build(part)) : []),
  ]
  if (todo().length > 0) await withLock(() => todo().forEach((step) => step()))
  if (needs.chromium) env.CHROMIUM = findChromium()
}

export function say(line) {
  process.stderr.write(`nearcast: ${line}\n`)
}

// ---- node packages

function packagesReady() {
  try {
    if (readFileSync(PACKAGES_STAMP, 'utf8') === lockHash()) return true
  } catch {
    // No stamp: packages may still be there, put by the user's own npm.
  }
  if (!installedAsLocked()) return false
  try {
    writeFileSync(PACKAGES_STAMP, lockHash())
  } catch {
    // A read-only installation: it is compared again next time.
  }
  return true
}

function lockHash() {
  return createHash('sha256')
    .update(readFileSync(at('package-lock.json')))
    .digest('hex')
}

/** npm leaves what it installed in node_modules/.package-lock.json. */
function installedAsLocked() {
  try {
    const wanted = JSON.parse(readFileSync(at('package-lock.json'), 'utf8')).packages
    const installed = JSON.parse(
      readFileSync(at('node_modules', '.package-lock.json'), 'utf8'),
    ).packages
    return Object.entries(wanted).every(
      ([path, { version, optional }]) =>
        path === '' || optional === true || installed[path]?.version === version,
    )
  } catch {
    return false
  }
}

function installPackages() {
  say('installing node packages (npm ci)')
  const started = performance.now()
  const npm = env.npm_execpath?.endsWith('.js')
    ? [process.execPath, env.npm_execpath]
    : [findProgram('npm') ?? missing('npm', 'install Node with npm: https://nodejs.org')]
  const [program, ...before] = npm
  run(
    program,
    [
      ...before,
      'ci',
      '--include=dev',
      '--no-audit',
      '--no-fund',
      '--no-update-notifier',
      '--loglevel=error',
    ],
    {
      env: { ...env, ...npmCache() },
      failure: 'npm ci failed; its own lines above say why',
    },
  )
  writeFileSync(PACKAGES_STAMP, lockHash())
  say(`node packages installed in ${seconds(started)}`)
}

/** npm wants to write below HOME; without one it gets a folder of its own. */
function npmCache() {
  if (env.npm_config_cache) return {}
  try {
    if (!env.HOME) throw new Error('no HOME')
    accessSync(env.HOME, constants.W_OK)
    return {}
  } catch {
    return { npm_config_cache: join(tmpdir(), `nearcast-npm-${process.getuid?.() ?? 0}`) }
  }
}

// ---- ffmpeg and chromium

function findFfmpeg() {
  return env.FFMPEG_PATH ? executable(env.FFMPEG_PATH) : findProgram('ffmpeg')
}

function installFfmpeg(need) {
  if (env.FFMPEG_PATH) missing('ffmpeg', `FFMPEG_PATH=${env.FFMPEG_PATH} is no program; correct it`)
  const memory = at('node_modules', '.nearcast-no-ffmpeg')
  const cure = 'apt-get install ffmpeg (or set FFMPEG_PATH)'
  if (need === 'needed') {
    if (!aptInstall('ffmpeg', findFfmpeg)) missing('ffmpeg', cure)
    return
  }
  const triedAt = existsSync(memory) ? statSync(memory).mtimeMs : 0
  const tried = Date.now() - triedAt < FFMPEG_RETRY_MS
  if (!tried && aptInstall('ffmpeg', findFfmpeg)) return
  if (!tried) writeFileSync(memory, '')
  say(`ffmpeg is missing: everything works but the ladder and --demo; bring it with ${cure}`)
}

function findChromium() {
  if (env.CHROMIUM) return executable(env.CHROMIUM)
  return ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']
    .map(findProgram)
    .find((path) => path !== undefined)
}

function installChromium() {
  if (env.CHROMIUM) missing('Chromium', `CHROMIUM=${env.CHROMIUM} is no program; correct it`)
  if (aptInstall('chromium', findChromium)) return
  missing(
    'Chromium',
    'apt-get install chromium (or npx playwright-core install --with-deps chromium and set CHROMIUM to its program)',
  )
}

/** Debian and Ubuntu, as root or with sudo that asks nothing. False when it could not be done. */
function aptInstall(name, find) {
  const apt = findProgram('apt-get')
  const root = process.getuid?.() === 0
  if (!apt || !(root || quiet('sudo', ['-n', 'true']))) return false
  say(`installing ${name} (apt-get)`)
  const started = performance.now()
  const aptGet = (...args) => {
    const full = ['DEBIAN_FRONTEND=noninteractive', apt, '-o', 'DPkg::Lock::Timeout=300', ...args]
    const [program, rest] = root ? ['env', full] : ['sudo', ['-n', 'env', ...full]]
    return spawnSync(program, rest, { stdio: ['ignore', 2, 2], env }).status === 0
  }
  const install = () => aptGet('install', '-y', '-q', '--no-install-recommends', name)
  const known = knowsPackages()
  const done = (known && install()) || (aptGet('update', '-q') && install())
  if (!done || !find()) return false
  say(`${name} installed in ${seconds(started)}`)
  return true
}

/** A fresh container image has no package lists; then installing without an update can only fail. */
function knowsPackages() {
  try {
    return readdirSync('/var/lib/apt/lists').some((name) => name.includes('_Packages'))
  } catch {
    return false
  }
}

// ---- the build: each part is made beside the old one and put in its place when whole

const viteBuild = (config) => (target) => [
  'vite',
  ['build', '--config', config, '--logLevel', 'error', '--emptyOutDir', '--outDir', target],
]
const parts = [
  {
    name: 'server',
    sources: ['server', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'],
    make: (target) => ['typescript-7', ['-p', 'tsconfig.build.json', '--outDir', target]],
  },
  {
    name: 'player',
    sources: ['player', 'tsconfig.json', 'package-lock.json'],
    make: viteBuild('player/vite.config.ts'),
  },
  {
    name: 'console',
    sources: ['player/console', 'tsconfig.json', 'package-lock.json'],
    make: viteBuild('player/console/vite.config.ts'),
  },
].map((part) => ({ ...part, ready: () => partReady(part) }))

const tools = {
  'typescript-7': ['@typescript', 'native', 'bin', 'tsc'],
  vite: ['vite', 'bin', 'vite.js'],
  vitest: ['vitest', 'vitest.mjs'],
  tsx: ['tsx', 'dist', 'cli.mjs'],
}
export const tool = (name) => at('node_modules', ...tools[name])

function partReady(part) {
  try {
    return readFileSync(at('dist', `${part.name}.stamp`), 'utf8') === sourcesHash(part.sources)
  } catch {
    return false
  }
}

function build(part) {
  say(`building the ${part.name}`)
  const started = performance.now()
  const stamp = sourcesHash(part.sources)
  const place = at('dist', part.name)
  const made = `${place}.new`
  rmSync(made, { recursive: true, force: true })
  const [name, args] = part.make(made)
  run(process.execPath, [tool(name), ...args], { failure: `the ${part.name} does not build` })
  const old = `${place}.old`
  rmSync(old, { recursive: true, force: true })
  if (existsSync(place)) renameSync(place, old)
  renameSync(made, place)
  writeFileSync(at('dist', `${part.name}.stamp`), stamp)
  rmSync(old, { recursive: true, force: true })
  say(`${part.name} built in ${seconds(started)}`)
}

/** Name, size and time of each source: 300 files in a few milliseconds, where reading them would take longer. */
function sourcesHash(sources) {
  const hash = createHash('sha256').update(process.version)
  const visit = (path) => {
    const stat = statSync(at(path))
    if (stat.isDirectory()) {
      for (const name of readdirSync(at(path)).sort()) visit(`${path}/${name}`)
    } else {
      hash.update(`${path}\0${stat.size}\0${stat.mtimeMs}\n`)
    }
  }
  sources.forEach(visit)
  return hash.digest('hex')
}

// ---- small things

/** One set-up at a time in a clone; the lock of a process that is gone is taken over. */
async function withLock(task) {
  let told = false
  while (!takeLock()) {
    if (!told) say('another process is preparing this folder; waiting for it')
    told = true
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS))
  }
  try {
    mkdirSync(at('dist'), { recursive: true })
    task()
  } finally {
    rmSync(LOCK_FILE, { force: true })
  }
}

function takeLock() {
  try {
    const file = openSync(LOCK_FILE, 'wx')
    writeSync(file, String(process.pid))
    closeSync(file)
    return true
  } catch (error) {
    if (error.code === 'EACCES' || error.code === 'EROFS')
      throw new Stop(EXIT_MISSING, `${ROOT} cannot be written; run npm start once as its owner`)
    if (error.code !== 'EEXIST') throw error
  }
  removeDeadLock()
  return false
}

function removeDeadLock() {
  try {
    const holder = readFileSync(LOCK_FILE, 'utf8')
    const fresh = Date.now() - statSync(LOCK_FILE).mtimeMs < LOCK_EMPTY_MS
    if (holder === '' ? fresh : alive(Number(holder))) return
    // Two may find it dead at once: who renames it looks again at what was caught.
    const caught = `${LOCK_FILE}.${process.pid}`
    renameSync(LOCK_FILE, caught)
    if (readFileSync(caught, 'utf8') === holder) rmSync(caught)
    else renameSync(caught, LOCK_FILE)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code !== 'ESRCH'
  }
}

function run(program, args, { failure, env: given = env }) {
  // Standard output belongs to the command's own answer.
  const { status, error } = spawnSync(program, args, {
    stdio: ['ignore', 2, 2],
    env: given,
    cwd: ROOT,
  })
  if (status !== 0) throw new Stop(EXIT_FAILED, error ? `${failure} (${error.message})` : failure)
}

function quiet(program, args) {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0
}

function missing(what, cure) {
  throw new Stop(EXIT_MISSING, `${what} is missing: ${cure}`)
}

function findProgram(name) {
  return (env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => executable(join(folder, name)))
    .find((path) => path !== undefined)
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile() ? path : undefined
  } catch {
    return undefined
  }
}

/** Time since `started` (performance.now) for people. */
export function seconds(started) {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`
}
