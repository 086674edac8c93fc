import { findControl } from '../config/find-ready.ts'
import { loadConfig } from '../config/load-config.ts'
import { type Arguments, CommandFailure } from './command.ts'
import { askControl } from './control-api.ts'

/** Arguments behind `nearcast`, and where its text goes. */
export interface CommandInput {
  readonly argv: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

/** What a command works with. */
export interface Context extends CommandInput {
  readonly args: Arguments
  readonly ask: (
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ) => Promise<unknown>
}

/** Asks the server that flags and environment mean; without one it is a CommandFailure. */
export function asker({ env, cwd }: CommandInput, flags: Arguments['flags']): Context['ask'] {
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

/** Those flags that choose a configuration. */
export function configFlags(flags: Arguments['flags']): readonly string[] {
  return [...flags].flatMap(([name, value]) =>
    name === '--data' || name === '--config' ? [name, value] : [],
  )
}

/** Environment and folder as `loadConfig` takes them: its own unless they are given. */
export function given(env: CommandInput['env'], cwd: CommandInput['cwd']) {
  return { ...(env && { env }), ...(cwd !== undefined && { cwd }) }
}
