/** Exit codes: a failure while running, wrong arguments or configuration, something needed that is not there. */
export const EXIT_CODES = { done: 0, failed: 1, usage: 2, missing: 3 } as const

/** Ends a command with one line on standard error. */
export class CommandFailure extends Error {
  readonly exit: Exclude<keyof typeof EXIT_CODES, 'done'>
  constructor(exit: CommandFailure['exit'], message: string) {
    super(message)
    this.name = 'CommandFailure'
    this.exit = exit
  }
}

/** What stands behind the command's name, sorted. */
export interface Arguments {
  readonly words: readonly string[]
  /** `--json` and flags with their values; a flag given twice keeps its last. */
  readonly flags: ReadonlyMap<string, string>
  /** What each `--tag` gave. */
  readonly tags: readonly string[]
}

const VALUED = ['--data', '--config', '--distribution', '--examples', '--tag', '--overlap']
const BARE = ['--json', '--help', '--soft', '--dry-run', '--backup']

/** Splits words from flags; `--` ends the flags. An unknown flag is a CommandFailure. */
export function readArguments(argv: readonly string[]): Arguments {
  const words: string[] = []
  const flags = new Map<string, string>()
  const tags: string[] = []
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ''
    if (word === '--') return { words: [...words, ...argv.slice(i + 1)], flags, tags }
    if (!word.startsWith('-') || word === '-') {
      words.push(word)
      continue
    }
    const equals = word.indexOf('=')
    const name = equals < 0 ? word : word.slice(0, equals)
    if (name === '-h' || BARE.includes(name)) flags.set(name === '-h' ? '--help' : name, 'true')
    else if (VALUED.includes(name)) {
      const value = equals < 0 ? valueAt(argv, ++i, name) : word.slice(equals + 1)
      if (name === '--tag') tags.push(value)
      else flags.set(name, value)
    } else
      throw new CommandFailure(
        'usage',
        `${name}: unknown flag; there are ${[...VALUED, ...BARE].join(', ')}`,
      )
  }
  return { words, flags, tags }
}

function valueAt(argv: readonly string[], index: number, name: string): string {
  const value = argv[index]
  if (value === undefined) throw new CommandFailure('usage', `${name}: needs a value behind it`)
  return value
}

/** Rows as columns that line up; the first row is the head. */
export function writeTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}
