import { configurationSchema } from '../config/describe-settings.ts'
import { findControl } from '../config/find-ready.ts'
import { loadConfig } from '../config/load-config.ts'
import { notesOn } from '../config/notes.ts'
import { readTlsPair } from '../lib/tls-pair.ts'
import { writeTable } from './command.ts'
import { type Context, configFlags, given } from './context.ts'
import { counted, listOf, printed, printedAsJson, rowsOf, textOf } from './print-answer.ts'

export async function configExport(context: Context): Promise<void> {
  printed(context, await context.ask('GET', '/config'))
}

export async function configCheck({ args, env, cwd, out }: Context): Promise<void> {
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

export function configSchema({ out }: Context): void {
  out(`${JSON.stringify(configurationSchema(), null, 2)}\n`)
}

export async function edges(context: Context): Promise<void> {
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
