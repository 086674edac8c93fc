import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { loadConfig } from '../../server/config/load-config.ts'
import { ERRORS } from '../../server/lib/errors.ts'
import { PROJECT } from '../support/server.ts'

const text = (name: string) => readFileSync(join(PROJECT, name), 'utf8')
const scripts: Readonly<Record<string, string>> = JSON.parse(text('package.json')).scripts

it('docs/ERRORS.md lists every code with its status and meaning, by status', () => {
  const listed = [...text('docs/ERRORS.md').matchAll(/^\| `([\w-]+)` \| (\d+) \| (.*) \|$/gm)].map(
    ([, code, status, meaning]) => [code, Number(status), meaning],
  )
  const known = Object.entries(ERRORS)
    .map(([code, [status, meaning]]) => [code, status, meaning] as const)
    .sort(([a, x], [b, y]) => x - y || a.localeCompare(b))
  expect(listed).toEqual(known)
})

it('no page points at a file that is not there', () => {
  const pages = [
    'README.md',
    'CHANGELOG.md',
    ...readdirSync(join(PROJECT, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ]
  const missing = pages.flatMap((page) =>
    [...text(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
      .map(([, target = '']) => join(page, '..', target))
      .filter((target) => !existsSync(join(PROJECT, target))),
  )
  expect(missing).toEqual([])
})

it('package-lock.json names the packages of every platform, which npm ci insists on', () => {
  interface Entry {
    readonly optionalDependencies?: Readonly<Record<string, string>>
  }
  const packages: Readonly<Record<string, Entry>> = JSON.parse(text('package-lock.json')).packages
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) => !packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`],
    ),
  )
  expect(missing).toEqual([])
})

it('the README names commands that exist', () => {
  const named = [...text('README.md').matchAll(/npm (?:run )?([\w:]+)/g)].map(
    ([, name = '']) => name,
  )
  expect(named).toContain('start')
  expect(named.filter((name) => scripts[name] === undefined)).toEqual([])
})

it('the README’s configuration is one that the server takes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-readme-'))
  const examples = [...text('README.md').matchAll(/```yaml\n([^`]+)```/g)]
  expect(examples.length).toBeGreaterThan(1)
  for (const [, example = ''] of examples) {
    await writeFile(join(folder, 'nearcast.yaml'), example)
    expect(loadConfig({ env: {}, cwd: folder }).role).toBe('all')
  }
  await writeFile(join(folder, 'nearcast.yaml'), examples[0]?.[1] ?? '')
  const { origins, distributions } = loadConfig({ env: {}, cwd: folder })
  expect(origins['media']).toEqual({ kind: 'file', root: join(PROJECT, 'media') })
  const [one] = distributions
  const pages = one?.kind === 'web' ? one.behaviors.at(-1) : undefined
  expect(pages).toMatchObject({
    path: '*',
    methods: 'all',
    ttl: { max: 0 },
    key: { query: 'all', cookies: 'all' },
  })
  const env = {
    NEARCAST_ROLE: 'edge',
    NEARCAST_PARENT: 'http://origin:8070',
    NEARCAST_PARENT_TOKEN: 'a-token-of-its-own',
  }
  await writeFile(join(folder, 'nearcast.yaml'), '{}')
  expect(loadConfig({ env, cwd: folder }).role).toBe('edge')
  await rm(folder, { recursive: true })
})

it('the start page names the browser’s own host, and the port of RTMP as one to be checked', () => {
  const shown = { textContent: '' }
  const listener = { addEventListener: () => {}, dataset: {}, textContent: '' }
  const document = {
    hidden: true,
    getElementById: (id: string) => (id === 'server' ? shown : listener),
    querySelectorAll: () => [],
  }
  runInNewContext(text('media/site/live.js'), {
    document,
    location: { hostname: 'studio.lan', origin: 'http://studio.lan:8080' },
    setTimeout: () => 0,
    fetch: () => Promise.reject(new Error('no server')),
  })
  expect(shown.textContent).toBe('rtmp://studio.lan:1935/live')
  expect(text('media/site/index.html')).toContain('the port as the terminal printed it')
})
