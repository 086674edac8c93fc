import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import * as z from 'zod'
import type { Config } from '../../server/config/config.ts'
import { loadConfig } from '../../server/config/load-config.ts'
import { PROJECT } from '../support/server.ts'

const text = (name: string) => readFileSync(join(PROJECT, name), 'utf8')

// As much of the Compose specification as the file uses; anything else in it is a mistake.
const compose = z
  .strictObject({
    services: z.record(
      z.string(),
      z.strictObject({
        build: z.string().optional(),
        image: z.string(),
        init: z.boolean().optional(),
        command: z.array(z.string()).optional(),
        restart: z.literal('unless-stopped'),
        depends_on: z
          .record(z.string(), z.strictObject({ condition: z.literal('service_healthy') }))
          .optional(),
        environment: z.record(z.string(), z.string()),
        ports: z.array(z.string().regex(/^(?:127\.0\.0\.1:)?\d+:\d+$/)),
        volumes: z.array(z.string().regex(/^[a-z]+:\/[\w/]+$/)),
        healthcheck: z.strictObject({
          test: z.array(z.string()),
          interval: z.string(),
          timeout: z.string(),
          start_period: z.string().optional(),
          retries: z.number().optional(),
        }),
        stop_grace_period: z.string().optional(),
      }),
    ),
    volumes: z.record(z.string(), z.null()),
  })
  .parse(parse(text('docker-compose.yml')))
const { nearcast, s3 } = compose.services
if (!nearcast || !s3) throw new Error('a service is missing')

/** `${NAME:-default}` as Compose reads it when nothing is set. */
const filled = (environment: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      value.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1'),
    ]),
  )
const portsOf = (ports: readonly string[]) => ports.map((port) => Number(port.split(':').at(-1)))

const dockerfile = text('Dockerfile').replaceAll('\\\n', ' ')
const lines = dockerfile.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
const argumentsOf = (instruction: string) =>
  lines
    .filter((line) => line.startsWith(`${instruction} `))
    .map((line) => line.split(/\s+/).slice(1))

/** The configuration a container of the Dockerfile runs with. */
async function containerConfig(environment: Readonly<Record<string, string>>): Promise<Config> {
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-image-'))
  const [, printed = ''] = /printf '([^']*)' > \/etc\/nearcast\.yaml/.exec(dockerfile) ?? []
  const file = join(folder, 'nearcast.yaml')
  await writeFile(file, printed.replaceAll('\\n', '\n'))
  const own = Object.fromEntries(
    argumentsOf('ENV')
      .flat()
      .map((pair) => pair.split('='))
      .map(([name = '', value = '']) => [name, value]),
  )
  expect(own['NEARCAST_CONFIG']).toBe('/etc/nearcast.yaml')
  try {
    return loadConfig({ env: { ...own, ...environment, NEARCAST_CONFIG: file }, cwd: folder })
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('the Dockerfile', () => {
  it('copies what there is, and starts what the build makes', () => {
    const copied = argumentsOf('COPY')
      .filter(([first]) => !first?.startsWith('--from'))
      .flatMap((names) => names.slice(0, -1))
    expect(copied.length).toBeGreaterThan(5)
    expect(copied.filter((name) => !existsSync(join(PROJECT, name)))).toEqual([])
    expect(dockerfile).toContain('RUN node server/cli/bootstrap.mjs build')
    expect(dockerfile).toContain('"dist/server/main.js"]')
    expect(existsSync(join(PROJECT, 'server/main.ts'))).toBe(true)
  })

  it('runs as a user without rights and has what is needed to build in its context', () => {
    expect(argumentsOf('USER')).toEqual([['node']])
    const ignored = text('.dockerignore').split('\n')
    for (const name of ['server', 'player', 'media', 'package.json'])
      expect(ignored).not.toContain(name)
    for (const name of ['node_modules', 'data', '.git', '.env']) expect(ignored).toContain(name)
  })

  it('exposes the ports its configuration listens on, on every address', async () => {
    const config = await containerConfig({})
    expect(config.data).toBe('/data')
    expect(argumentsOf('EXPOSE').flat().map(Number)).toEqual([
      config.http.port,
      config.rtmp.port,
      config.control.port,
      config.origin.port,
    ])
    const { http, rtmp, control, origin } = config
    expect([http, rtmp, control, origin].map(({ host }) => host)).toEqual(Array(4).fill('0.0.0.0'))
  })
})

describe('docker-compose.yml', () => {
  it('gives the server a configuration it accepts: the bucket of the S3 server beside it', async () => {
    const { origins } = await containerConfig(filled(nearcast.environment))
    const [bucket] = s3.volumes.map((volume) => /:\/data\/(\w+)$/.exec(volume)?.[1])
    expect(origins['media']).toMatchObject({
      kind: 's3',
      bucket,
      endpoint: `http://s3${s3.environment['VGW_PORT']}`,
      region: s3.environment['VGW_REGION'],
      pathStyle: true,
    })
  })

  it('gives both the same credentials', () => {
    const [mine, theirs] = [filled(nearcast.environment), filled(s3.environment)]
    expect(mine['AWS_ACCESS_KEY_ID']).toBe(theirs['ROOT_ACCESS_KEY'])
    expect(mine['AWS_SECRET_ACCESS_KEY']).toBe(theirs['ROOT_SECRET_KEY'])
  })

  it('maps ports that are listened on, the operator’s for this machine alone', async () => {
    const { http, rtmp, control } = await containerConfig(filled(nearcast.environment))
    expect(portsOf(nearcast.ports)).toEqual([http.port, rtmp.port, control.port])
    expect(nearcast.ports).toContain(`127.0.0.1:${control.port}:${control.port}`)
    expect(portsOf(s3.ports)).toEqual([Number(s3.environment['VGW_PORT']?.slice(1))])
    expect(s3.ports.every((port) => port.startsWith('127.0.0.1:'))).toBe(true)
    expect(nearcast.healthcheck.test.join(' ')).toContain(`127.0.0.1:${control.port}/readyz`)
    expect(s3.healthcheck.test.join(' ')).toContain(`7070${s3.environment['VGW_HEALTH']}`)
  })

  it('names services and volumes that it has, and an image by its version', () => {
    const services = Object.keys(compose.services)
    expect(Object.keys(nearcast.depends_on ?? {}).every((name) => services.includes(name))).toBe(
      true,
    )
    const used = [nearcast, s3].flatMap(({ volumes }) => volumes.map((one) => one.split(':')[0]))
    expect(new Set(used)).toEqual(new Set(Object.keys(compose.volumes)))
    expect(s3.image).toMatch(/^versity\/versitygw:v\d+\.\d+\.\d+$/)
    expect(existsSync(join(PROJECT, nearcast.build ?? '', 'Dockerfile'))).toBe(true)
  })
})
