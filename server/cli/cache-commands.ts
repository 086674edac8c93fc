import { CommandFailure } from './command.ts'
import type { Context } from './context.ts'
import { plainOf, printed, printedAsJson, rowsOf, textOf, timeOf } from './print-answer.ts'

export async function invalidate(context: Context, paths: readonly string[]): Promise<void> {
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

export async function invalidateUndo(
  context: Context,
  [id = '']: readonly string[],
): Promise<void> {
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

export async function explain(context: Context, [url = '']: readonly string[]): Promise<void> {
  printed(context, await context.ask('GET', `/explain?url=${encodeURIComponent(url)}`))
}

export async function probe(context: Context, [key = '']: readonly string[]): Promise<void> {
  try {
    printed(context, await context.ask('GET', `/probe?key=${encodeURIComponent(key)}`))
  } catch (error) {
    const name = key.replace(/^\.?\//, '').replace(/^media\//, '')
    if (!(error instanceof CommandFailure) || name === key || name === '') throw error
    const hint = `names begin inside the media folder or bucket; did you mean ${name}?`
    throw new CommandFailure(error.exit, `${error.message}; ${hint}`)
  }
}
