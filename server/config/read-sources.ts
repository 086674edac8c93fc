import { existsSync, readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { LineCounter, parseDocument } from 'yaml'
import type { SchemaNode } from '../distribution/problems.ts'
import { NearcastError } from '../lib/errors.ts'
import { nearestWord } from '../lib/nearest-word.ts'

/** What flags, environment and file say, before it is checked. */
export interface Sources {
  readonly value: Readonly<Record<string, unknown>>
  /** Absolute path of the file that was read. */
  readonly file: string | undefined
  /** What messages call the file. */
  readonly fileLabel: string
  /** By key (`http.port`): the variable or flag that said it. */
  readonly saidBy: ReadonlyMap<string, string>
}

/** One option that a variable or a flag can set. */
interface Override {
  readonly keys: readonly string[]
  readonly env: string | undefined
  readonly flag: string | undefined
  readonly kind: 'text' | 'number' | 'boolean'
}

const DEFAULT_FILE = 'nearcast.yaml'
const OTHER_ENDING = 'nearcast.yml'
const MAX_FILE_BYTES = 2 ** 20
const PREFIX = 'NEARCAST_'
// Kubernetes tells each container of a service named nearcast or nearcast-http in variables named like ours:
// NEARCAST_SERVICE_HOST, NEARCAST_PORT_8080_TCP_ADDR, and NEARCAST_PORT or NEARCAST_HTTP_PORT with tcp://10.0.0.1:8080.
const SERVICE_LINK =
  /_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)_(?:PROTO|PORT|ADDR))$/
const SERVICE_ADDRESS = /^(?:tcp|udp|sctp):\/\//
// Read elsewhere: by this module for the file, by the nearcast command to find a server.
const OTHER_VARIABLES: readonly string[] = [
  'NEARCAST_CONFIG',
  'NEARCAST_CONTROL_URL',
  'NEARCAST_TOKEN',
]

/** Puts flags over environment over file; throws `config-invalid` for what none of them can mean. */
export function readSources(
  root: SchemaNode,
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Sources {
  const env = withoutServiceLinks(environment)
  const overrides = listOverrides(root, [])
  const flags = readFlags(argv, overrides)
  checkVariables(env, overrides)
  const named = flags.get('--config') ?? (env['NEARCAST_CONFIG'] || undefined)
  const file = resolve(cwd, named ?? DEFAULT_FILE)
  const content = readText(file, named)
  if (content === undefined) refuseOtherEnding(cwd)
  const fileLabel = printable(named ?? basename(file))
  const value = content === undefined ? {} : readYaml(content, fileLabel)
  const saidBy = new Map<string, string>()
  for (const override of overrides) {
    const { env: variable, flag } = override
    const fromFlag = flag === undefined ? undefined : flags.get(flag)
    // Compose files pass unset variables as empty ones.
    const fromEnv = (variable && env[variable]) || undefined
    const said = fromFlag ?? fromEnv
    if (said === undefined) continue
    put(value, override.keys, convert(said, override.kind))
    saidBy.set(override.keys.join('.'), (fromFlag === undefined ? variable : flag) ?? '')
  }
  return { value, file: content === undefined ? undefined : file, fileLabel, saidBy }
}

function listOverrides(node: SchemaNode, keys: readonly string[]): readonly Override[] {
  const own: readonly Override[] =
    node.env !== undefined || node.flag !== undefined
      ? [{ keys, env: node.env, flag: node.flag, kind: kindOf(node) }]
      : []
  const members = Object.entries(node.properties ?? {})
  return [...own, ...members.flatMap(([key, child]) => listOverrides(child, [...keys, key]))]
}

function kindOf(node: SchemaNode): Override['kind'] {
  if (node.type === 'boolean') return 'boolean'
  return node.type === 'integer' || node.type === 'number' ? 'number' : 'text'
}

function readFlags(
  argv: readonly string[],
  overrides: readonly Override[],
): ReadonlyMap<string, string> {
  const known = new Map(overrides.flatMap((o) => (o.flag ? [[o.flag, o.kind] as const] : [])))
  known.set('--config', 'text')
  const said = new Map<string, string>()
  for (let i = 0; i < argv.length; i++) {
    const [name = '', ...rest] = (argv[i] ?? '').split('=')
    const kind = known.get(name)
    if (kind === undefined) throw new NearcastError('config-invalid', unknownFlag(name, known))
    const inline = rest.length > 0 ? rest.join('=') : undefined
    if (kind === 'boolean') {
      said.set(name, inline ?? 'true')
      continue
    }
    const value = inline ?? argv[++i]
    if (value === undefined || value === '' || (inline === undefined && value.startsWith('--')))
      throw new NearcastError('config-invalid', `${name}: needs a value behind it`)
    said.set(name, value)
  }
  return said
}

function unknownFlag(name: string, known: ReadonlyMap<string, unknown>): string {
  const flags = [...known.keys()]
  const shown = printable(name.slice(0, 60))
  if (!name.startsWith('-')) return `"${shown}": unexpected argument; flags are ${flags.join(', ')}`
  const nearest = nearestWord(name, flags)
  const cure = nearest ? `did you mean ${nearest}?` : `flags are ${flags.join(', ')}`
  return `${shown}: unknown flag; ${cure}`
}

function withoutServiceLinks(
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  const isLink = (name: string, value = '') =>
    SERVICE_LINK.test(name) || (/_PORT(?:_|$)/.test(name) && SERVICE_ADDRESS.test(value))
  return Object.fromEntries(Object.entries(env).filter(([name, value]) => !isLink(name, value)))
}

function checkVariables(
  env: Readonly<Record<string, string | undefined>>,
  overrides: readonly Override[],
): void {
  const known = [...OTHER_VARIABLES, ...overrides.flatMap((o) => (o.env ? [o.env] : []))]
  for (const name of Object.keys(env)) {
    if (!name.startsWith(PREFIX) || known.includes(name)) continue
    const nearest = nearestWord(
      name.slice(PREFIX.length),
      known.map((k) => k.slice(PREFIX.length)),
    )
    const cure = nearest ? `did you mean ${PREFIX}${nearest}?` : `known: ${known.join(', ')}`
    throw new NearcastError(
      'config-invalid',
      `${printable(name.slice(0, 80))}: unknown variable; ${cure}`,
    )
  }
}

function readText(file: string, named: string | undefined): string | undefined {
  const label = printable(named ?? file)
  try {
    const content = readFileSync(file)
    if (content.length > MAX_FILE_BYTES)
      throw new NearcastError('config-invalid', `${label}: is larger than 1 MiB`)
    return content.toString('utf8')
  } catch (error) {
    if (error instanceof NearcastError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    if (code === 'ENOENT' && named === undefined) return undefined
    const why = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code})`
    throw new NearcastError('config-invalid', `${label}: ${why}`)
  }
}

// Nobody writes a configuration to have it passed over.
function refuseOtherEnding(cwd: string): void {
  if (existsSync(resolve(cwd, OTHER_ENDING)))
    throw new NearcastError(
      'config-invalid',
      `${OTHER_ENDING}: is not read by itself; rename it to ${DEFAULT_FILE}, or start with --config ${OTHER_ENDING}`,
    )
}

function readYaml(content: string, label: string): Record<string, unknown> {
  const lineCounter = new LineCounter()
  const document = parseDocument(content, { lineCounter, prettyErrors: false, uniqueKeys: true })
  const [error] = document.errors
  if (error) {
    const { line, col } = lineCounter.linePos(error.pos[0])
    const message = printable(error.message.split('\n', 1)[0] ?? '')
    throw new NearcastError('config-invalid', `${label}: line ${line}, column ${col}: ${message}`)
  }
  const value: unknown = toValue(document, label)
  if (value === null || value === undefined) return {}
  if (typeof value !== 'object' || Array.isArray(value))
    throw new NearcastError('config-invalid', `${label}: must hold keys and values`)
  return value as Record<string, unknown>
}

function toValue(document: ReturnType<typeof parseDocument>, label: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch {
    throw new NearcastError('config-invalid', `${label}: its aliases cannot be resolved`)
  }
}

// Nothing of a name or a file may steer a terminal.
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?')
}

function convert(said: string, kind: Override['kind']): unknown {
  if (kind === 'number' && /^\d{1,15}$/.test(said)) return Number(said)
  if (kind === 'boolean' && (said === 'true' || said === 'false')) return said === 'true'
  return said
}

// A file may hold text or nothing where a group belongs: what the variable says replaces it.
function put(value: Record<string, unknown>, keys: readonly string[], said: unknown): void {
  const [key = '', ...rest] = keys
  if (rest.length === 0) {
    value[key] = said
    return
  }
  const inner = Object.hasOwn(value, key) ? value[key] : undefined
  const group: Record<string, unknown> =
    typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? { ...inner } : {}
  put(group, rest, said)
  value[key] = group
}
