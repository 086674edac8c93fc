import { stringify } from 'yaml'
import { configurationSchema } from '../config/describe-settings.ts'
import { findControl } from '../config/find-ready.ts'
import { loadConfig } from '../config/load-config.ts'
import { notesOn } from '../config/notes.ts'
import { describeError, hasCode } from '../lib/errors.ts'
import { nearestWord } from '../lib/nearest-word.ts'
import { readTlsPair } from '../lib/tls-pair.ts'
import { parseSeconds } from '../lib/units.ts'
import { type Arguments, CommandFailure, EXIT_CODES, readArguments, writeTable } from './command.ts'
import { askControl } from './control-api.ts'

/** Arguments behind `nearcast`, and where its text goes. */
export interface CommandInput {
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

interface Context extends CommandInput {
  readonly args: Arguments
  readonly ask: (
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ) => Promise<unknown>
}

interface Command {
  readonly usage: string
  readonly summary: string
  readonly words: { readonly min: number; readonly max: number }
  readonly run: (context: Context, words: readonly string[]) => Promise<void> | void
}

const NONE = { min: 0, max: 0 }
const ONE = { min: 1, max: 1 }

const COMMANDS: Readonly<Record<string, Command>> = {
  'key list': {
    usage: '[NAME]',
    summary: 'stream keys by their last characters, of all streams or one',
    words: { min: 0, max: 1 },
    run: keyList,
  },
  'key create': {
    usage: 'NAME [--backup]',
    summary: 'a new key for a stream; shown this once; --backup for a publisher that stands by',
    words: ONE,
    run: keyCreate,
  },
  'key rotate': {
    usage: 'ID|NAME [--overlap 10m]',
    summary: 'a new key in place of one, which holds for the overlap and no longer',
    words: ONE,
    run: keyRotate,
  },
  'key revoke': {
    usage: 'ID|NAME',
    summary: 'take a key back, and cut who publishes with it',
    words: ONE,
    run: keyRevoke,
  },
  invalidate: {
    usage: 'PATH… [--tag TAG]… [--soft] [--dry-run [--examples N]] [--distribution ID]',
    summary: 'have paths and tags fetched anew; a path may end in *',
    words: { min: 0, max: 3000 },
    run: invalidate,
  },
  'invalidate undo': {
    usage: 'ID',
    summary: 'within a minute: what is still stored is valid again',
    words: ONE,
    run: invalidateUndo,
  },
  explain: { usage: 'URL', summary: 'why a URL is answered as it is', words: ONE, run: explain },
  probe: {
    usage: 'KEY',
    summary: 'what a stored file is and how it will be played',
    words: ONE,
    run: probe,
  },
  'config check': {
    usage: '[--config FILE]',
    summary: 'check the configuration',
    words: NONE,
    run: configCheck,
  },
  'config schema': {
    usage: '',
    summary: 'the JSON Schema of nearcast.yaml',
    words: NONE,
    run: configSchema,
  },
  'config export': {
    usage: '',
    summary: 'the configuration in force as YAML, secrets hidden',
    words: NONE,
    run: configExport,
  },
  edges: {
    usage: '',
    summary: 'edge locations and how far each has followed',
    words: NONE,
    run: edges,
  },
}

/** Runs one `nearcast` command; gives the exit code. All but `start`, which the launcher does. */
export async function runNearcast(input: CommandInput): Promise<number> {
  try {
    await dispatch(input)
    return EXIT_CODES.done
  } catch (error) {
    if (error instanceof CommandFailure) {
      input.err(`nearcast: ${error.message}\n`)
      return EXIT_CODES[error.exit]
    }
    if (hasCode(error, 'config-invalid')) {
      input.err(`${error.sentence}\n`)
      return EXIT_CODES.usage
    }
    input.err(`nearcast: ${describeError(error)}\n`)
    return EXIT_CODES.failed
  }
}

async function dispatch(input: CommandInput): Promise<void> {
  const args = readArguments(input.argv)
  const { words, flags } = args
  const [first = '', second = ''] = words
  if (flags.has('--help') || first === 'help') {
    input.out(helpText())
    return
  }
  if (first === '')
    throw new CommandFailure(
      'usage',
      `which command? ${listOf([...Object.keys(COMMANDS), 'start'])}`,
    )
  const both = `${first} ${second}`.trim()
  const name = Object.hasOwn(COMMANDS, first) && !Object.hasOwn(COMMANDS, both) ? first : both
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (!command) throw new CommandFailure('usage', unknownCommand(first, name))
  const rest = words.slice(name.split(' ').length)
  if (rest.length < command.words.min || rest.length > command.words.max)
    throw new CommandFailure('usage', `usage: nearcast ${name} ${command.usage}`.trimEnd())
  await command.run({ ...input, args, ask: asker(input, flags) }, rest)
}

function unknownCommand(first: string, name: string): string {
  const known = [...Object.keys(COMMANDS), 'start']
  const members = known.filter((one) => one.startsWith(`${first} `))
  if (members.length > 0) return `${name}: which one? ${listOf(members)}`
  const nearest = nearestWord(name, known) ?? nearestWord(first, known)
  return `${name}: unknown command; ${nearest ? `did you mean ${nearest}?` : `there are ${listOf(known)}`}`
}

function asker({ env, cwd }: CommandInput, flags: Arguments['flags']): Context['ask'] {
  return (method, path, body) => {
    const { data } = loadConfig({ argv: configFlags(flags), ...given(env, cwd) })
    const control = findControl(data, env)
    if (control) return askControl(control, method, path, body)
    throw new CommandFailure(
      'missing',
      `no server runs here: ${data}/ready.json is missing or of one that has ended; start one with npm start, or set NEARCAST_CONTROL_URL and NEARCAST_TOKEN`,
    )
  }
}

function configFlags(flags: Arguments['flags']): readonly string[] {
  return [...flags].flatMap(([name, value]) =>
    name === '--data' || name === '--config' ? [name, value] : [],
  )
}

function given(env: CommandInput['env'], cwd: CommandInput['cwd']) {
  return { ...(env && { env }), ...(cwd !== undefined && { cwd }) }
}

async function keyList(context: Context, [name]: readonly string[]): Promise<void> {
  const answer = await context.ask(
    'GET',
    name === undefined ? '/keys' : `/streams/${encodeURIComponent(name)}/keys`,
  )
  if (printedAsJson(context, answer)) return
  const keys = rowsOf(answer, 'keys')
  if (keys.length === 0) context.out('no stream keys; make one with: nearcast key create NAME\n')
  else
    context.out(
      writeTable([
        ['ID', 'STREAM', 'KEY', 'CREATED', ''],
        ...keys.map((key) => [
          textOf(key, 'id'),
          textOf(key, 'name'),
          textOf(key, 'masked'),
          timeOf(key, 'createdAt'),
          [
            ...(memberOf(key, 'backup') === true ? ['backup'] : []),
            ...(memberOf(key, 'until') === undefined ? [] : [`until ${timeOf(key, 'until')}`]),
          ].join(', '),
        ]),
      ]),
    )
}

async function keyCreate(context: Context, [name = '']: readonly string[]): Promise<void> {
  const answer = await context.ask('POST', '/keys', {
    name,
    ...(context.args.flags.has('--backup') && { backup: true }),
  })
  if (!printedAsJson(context, answer)) showKey(context, answer)
}

function showKey(context: Context, answer: unknown): void {
  const rows = [
    ['Server', textOf(answer, 'server')],
    ['Stream key', textOf(answer, 'key')],
    ['Watch', textOf(answer, 'watch')],
  ]
  context.out(writeTable(rows.filter(([, value]) => value !== '')))
  context.out(KEY_ONCE)
}

const KEY_ONCE =
  'Keep the key: it is shown this once. From the next start on, ready.json in the data folder has it while the server runs.\n'

async function keyRotate(context: Context, [wanted = '']: readonly string[]): Promise<void> {
  const given = context.args.flags.get('--overlap') ?? '0'
  const overlapSeconds = parseSeconds(given)
  if (overlapSeconds === undefined)
    throw new CommandFailure('usage', `--overlap: expected a duration such as 10m, got ${given}`)
  const { id } = await findKey(context, wanted)
  const path = `/keys/${encodeURIComponent(id)}/rotate`
  const answer = await context.ask('POST', path, { overlapSeconds })
  if (printedAsJson(context, answer)) return
  showKey(context, answer)
  const until = overlapSeconds === 0 ? 'is revoked' : `holds until ${timeOf(answer, 'formerUntil')}`
  context.out(`The former key ${id} ${until}.\n`)
}

async function keyRevoke(context: Context, [wanted = '']: readonly string[]): Promise<void> {
  const { id, name } = await findKey(context, wanted)
  await context.ask('DELETE', `/keys/${encodeURIComponent(id)}`)
  context.out(`revoked ${id} of ${name}\n`)
}

async function findKey(context: Context, wanted: string): Promise<{ id: string; name: string }> {
  const keys = rowsOf(await context.ask('GET', '/keys'), 'keys')
  const named = keys.filter((key) => textOf(key, 'name') === wanted)
  const found =
    keys.find((key) => textOf(key, 'id') === wanted) ?? (named.length === 1 ? named[0] : undefined)
  if (!found) {
    const ids = named.map((key) => textOf(key, 'id'))
    throw new CommandFailure(
      'failed',
      ids.length > 0
        ? `${wanted} has several keys; name one: ${listOf(ids)}`
        : `no key has the id or stream name ${wanted}; see: nearcast key list`,
    )
  }
  return { id: textOf(found, 'id'), name: textOf(found, 'name') }
}

async function invalidate(context: Context, paths: readonly string[]): Promise<void> {
  const { flags, tags } = context.args
  if (paths.length + tags.length === 0)
    throw new CommandFailure('usage', 'invalidate: what? Name paths, or tags with --tag')
  const distribution = flags.get('--distribution')
  const examples = flags.get('--examples')
  const dryRun = flags.has('--dry-run')
  const answer = await context.ask('POST', '/invalidations', {
    paths,
    ...(tags.length > 0 && { tags }),
    ...(flags.has('--soft') && { soft: true }),
    ...(dryRun && { dryRun }),
    ...(examples !== undefined && {
      examples: /^\d+$/.test(examples) ? Number(examples) : examples,
    }),
    ...(distribution !== undefined && { distribution }),
  })
  if (printedAsJson(context, answer)) return
  if (!dryRun) return printReceipt(context, answer)
  const [objects, bytes] = [textOf(answer, 'objects'), textOf(answer, 'bytes')]
  context.out(`would take at this edge: ${objects} objects, ${bytes} bytes\n`)
  for (const path of rowsOf(answer, 'examples')) context.out(`  ${plainOf(path)}\n`)
}

async function invalidateUndo(context: Context, [id = '']: readonly string[]): Promise<void> {
  const answer = await context.ask('POST', `/invalidations/${encodeURIComponent(id)}/undo`)
  if (!printedAsJson(context, answer)) printReceipt(context, answer)
}

function printReceipt({ out }: Context, answer: unknown): void {
  const undone = timeOf(answer, 'undoneAt')
  const said = undone === '' ? '' : `, undone ${undone}`
  out(`${textOf(answer, 'id')} ${textOf(answer, 'status')}${said}\n`)
  for (const edge of rowsOf(answer, 'edges'))
    out(`  ${textOf(edge, 'id')}: ${textOf(edge, 'state')}\n`)
}

async function explain(context: Context, [url = '']: readonly string[]): Promise<void> {
  printed(context, await context.ask('GET', `/explain?url=${encodeURIComponent(url)}`))
}

async function probe(context: Context, [key = '']: readonly string[]): Promise<void> {
  try {
    printed(context, await context.ask('GET', `/probe?key=${encodeURIComponent(key)}`))
  } catch (error) {
    const name = key.replace(/^\.?\//, '').replace(/^media\//, '')
    if (!(error instanceof CommandFailure) || name === key || name === '') throw error
    const hint = `names begin inside the media folder or bucket; did you mean ${name}?`
    throw new CommandFailure(error.exit, `${error.message}; ${hint}`)
  }
}

async function configExport(context: Context): Promise<void> {
  printed(context, await context.ask('GET', '/config'))
}

async function configCheck({ args, env, cwd, out }: Context): Promise<void> {
  const config = loadConfig({ argv: configFlags(args.flags), ...given(env, cwd) })
  // Only the process that listens has to be able to read them.
  if (config.rtmps && (config.role === 'all' || config.role === 'origin'))
    await readTlsPair(config.rtmps, 'rtmps')
  const { file, distributions, origins } = config
  const what = [
    counted(distributions.length, 'distribution'),
    counted(Object.keys(origins).length, 'origin'),
  ]
  out(`${file ?? 'no nearcast.yaml, the defaults'}: right (${listOf(what)})\n`)
  // Only one of this data folder: which file another one was started with is not known here.
  if (file !== undefined && findControl(config.data, {}))
    out('note: a server runs here; it read its file when it started, so a change needs a restart\n')
  for (const note of notesOn(config)) out(`note: ${note}\n`)
}

function configSchema({ out }: Context): void {
  out(`${JSON.stringify(configurationSchema(), null, 2)}\n`)
}

async function edges(context: Context): Promise<void> {
  const answer = await context.ask('GET', '/edges')
  if (printedAsJson(context, answer)) return
  const listed = rowsOf(answer, 'edges')
  context.out(
    writeTable([
      ['ID', 'ADDRESS', 'CHANGES', ''],
      ...listed.map((edge) => [
        textOf(edge, 'id'),
        textOf(edge, 'url'),
        textOf(edge, 'seq'),
        textOf(edge, 'self') === 'true' ? 'this server' : '',
      ]),
    ]),
  )
  if (listed.length < 2)
    context.out(
      'Other edges are listed when edges: in nearcast.yaml names them; they serve anyway.\n',
    )
}

function printed(context: Context, answer: unknown): void {
  if (!printedAsJson(context, answer)) context.out(stringify(answer))
}

function printedAsJson({ args, out }: Context, answer: unknown): boolean {
  if (!args.flags.has('--json')) return false
  out(`${JSON.stringify(answer, null, 2)}\n`)
  return true
}

function rowsOf(answer: unknown, key: string): readonly unknown[] {
  const rows: unknown = memberOf(answer, key)
  return Array.isArray(rows) ? rows : []
}

function textOf(value: unknown, key: string): string {
  return plainOf(memberOf(value, key))
}

function plainOf(value: unknown): string {
  const plain = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value
  return typeof plain === 'string' ? plain.replaceAll(/\p{Cc}/gu, '') : ''
}

function timeOf(value: unknown, key: string): string {
  const time = memberOf(value, key)
  const date = new Date(typeof time === 'number' ? time : Number.NaN)
  return Number.isNaN(date.getTime()) ? '' : date.toISOString().replace('T', ' ').slice(0, 19)
}

function memberOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Readonly<Record<string, unknown>>)[key]
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function listOf(names: readonly string[]): string {
  return names.join(', ')
}

function helpText(): string {
  const rows = Object.entries(COMMANDS).map(([name, { usage, summary }]) => [
    `  nearcast ${name} ${usage}`.trimEnd(),
    summary,
  ])
  const start = [
    '  nearcast start [--config FILE] [--role ROLE] [--data DIR] [--demo]',
    'start the server',
  ]
  return [
    'usage: nearcast COMMAND\n\n',
    writeTable([start, ...rows]),
    '\nFlags: --json (the answer as it came), --data DIR and --config FILE (which server is meant).\n',
    'The server is found by DATA/ready.json, else by NEARCAST_CONTROL_URL and NEARCAST_TOKEN.\n',
    'Exit codes: 0 done, 1 failed, 2 arguments or configuration wrong, 3 something needed is missing.\n',
  ].join('')
}
