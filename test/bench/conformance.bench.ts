import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { startServer } from '../support/server.ts'
import { atLeast, report } from './report.ts'

// The public suite of HTTP caches (http-tests/cache-tests, on npm http-cache-tests) against a whole server with `semantics: rfc`.
// npm run bench -- conformance FOLDER [ID]; FOLDER is an installed copy of the suite. With an ID: that one, with all its messages.
/** 150 of 160: releases of the suite differ in how many they require. */
const REQUIRED_SHARE = 150 / 160
const OUTPUT_MAX = 64 * 1024 * 1024

interface Test {
  readonly id: string
  readonly name: string
  readonly kind?: 'required' | 'optimal' | 'check'
  readonly browser_only?: boolean
  readonly depends_on?: readonly string[]
}

type Results = Readonly<Record<string, true | readonly [string, string]>>

const [folderName = '', only = ''] = process.argv.slice(2)
if (folderName === '') throw new Error('npm run bench -- conformance FOLDER [ID]')
const folder = resolve(folderName)
const engine = existsSync(join(folder, 'test-engine')) ? join(folder, 'test-engine') : folder
const temporary = await mkdtemp(join(tmpdir(), 'nearcast-conformance-'))
const environment = {
  ...process.env,
  npm_config_protocol: 'http',
  npm_config_port: '0',
  npm_config_pidfile: join(temporary, 'pid'),
  npm_config_id: only,
  npm_package_config_id: '',
}

const tests = await readTests()
const suite = await startSuite()
try {
  await using server = await startServer({ config: configOf(suite.url) })
  const output = await runClient(server.http)
  if (only === '') summarize(readResults(output))
  else console.log(output)
} finally {
  suite.stop()
  await rm(temporary, { recursive: true, force: true })
}

function configOf(url: string): string {
  return `
cache: { diskBytes: 0 }
origins:
  suite: { kind: http, url: '${url}' }
distributions:
  - id: suite
    hosts: ['*']
    defaultRootObject: ''
    behaviors:
      - { path: '*', origin: suite, methods: all, semantics: rfc, ttl: { min: 0, default: 0, max: 31536000 }, key: { query: all } }
`
}

/** Those that are for other caches than browsers. */
async function readTests(): Promise<ReadonlyMap<string, Test>> {
  const sets: Test[] = await setsOf('index.mjs')
  // The release on npm lists this one in its command line only.
  const extra = 'surrogate-control.mjs'
  if (engine === folder && existsSync(join(folder, 'tests', extra)))
    sets.push(...(await setsOf(extra)))
  return new Map(sets.filter((test) => !test.browser_only).map((test) => [test.id, test]))
}

async function setsOf(file: string): Promise<Test[]> {
  // The suite's own form, as its README describes it.
  const { default: sets } = (await import(pathToFileURL(join(folder, 'tests', file)).href)) as {
    default: { readonly tests: readonly Test[] } | readonly { readonly tests: readonly Test[] }[]
  }
  return (Array.isArray(sets) ? sets : [sets]).flatMap((set) => [...set.tests])
}

/** The suite's own origin server. */
async function startSuite(): Promise<{ readonly url: string; stop(): void }> {
  const child = spawn(process.execPath, [join(engine, 'server', 'server.mjs')], {
    cwd: folder,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const kill = () => child.kill()
  process.once('exit', kill)
  const url = await new Promise<string>((done, fail) => {
    child.once('exit', (code) => fail(new Error(`the suite's server ended with ${code}`)))
    child.stdout.on('data', (chunk: Buffer) => {
      const port = /^Listening on .*:(\d+)\//m.exec(chunk.toString())?.[1]
      if (port !== undefined) done(`http://localhost:${port}`)
      if (only !== '') process.stdout.write(chunk)
    })
  })
  return { url, stop: kill }
}

async function runClient(base: string): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--no-warnings', join(engine, 'cli.mjs')],
    { cwd: folder, env: { ...environment, npm_config_base: base }, maxBuffer: OUTPUT_MAX },
  )
  return stdout
}

function readResults(output: string): Results {
  // As the suite's command line prints them.
  return JSON.parse(output.slice(output.search(/^\{$/m))) as Results
}

/** As the suite itself counts: one whose setup or dependency failed has not passed either. */
function summarize(results: Results): void {
  const counts = new Map<string, { passed: number; all: number }>()
  const failed: Record<string, string>[] = []
  for (const test of tests.values()) {
    const kind = test.kind ?? 'required'
    const count = counts.get(kind) ?? { passed: 0, all: 0 }
    counts.set(kind, count)
    count.all++
    const why = whyFailed(test.id, results)
    if (why === undefined) count.passed++
    else failed.push({ kind, id: test.id, why })
  }
  const order = [...counts.keys()].sort().reverse()
  failed.sort((a, b) => order.indexOf(a['kind'] ?? '') - order.indexOf(b['kind'] ?? ''))
  for (const { kind, id, why } of failed) console.log(`${kind}\t${id}\t${why}`)
  report(
    order.map((kind) => {
      const { passed, all } = counts.get(kind) ?? { passed: 0, all: 0 }
      const limit = kind === 'required' ? Math.ceil(all * REQUIRED_SHARE) : 0
      return atLeast(kind, limit, passed, 'passed', `of ${all}`)
    }),
  )
}

function whyFailed(id: string, results: Results): string | undefined {
  const result = results[id]
  if (result === undefined) return 'not run'
  for (const other of tests.get(id)?.depends_on ?? [])
    if (whyFailed(other, results) !== undefined) return `needs ${other}`
  return result === true ? undefined : result.join(': ')
}
