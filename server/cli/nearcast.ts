import { describeError, hasCode } from '../lib/errors.ts'
import { nearestWord } from '../lib/nearest-word.ts'
import { explain, invalidate, invalidateUndo, probe } from './cache-commands.ts'
import { CommandFailure, EXIT_CODES, readArguments, writeTable } from './command.ts'
import { asker, type CommandInput, type Context } from './context.ts'
import { keyCreate, keyList, keyRevoke, keyRotate } from './key-commands.ts'
import { listOf } from './print-answer.ts'
import { configCheck, configExport, configSchema, edges } from './server-commands.ts'

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
