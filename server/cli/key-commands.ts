import { parseSeconds } from '../lib/units.ts'
import { CommandFailure, writeTable } from './command.ts'
import type { Context } from './context.ts'
import { listOf, memberOf, printedAsJson, rowsOf, textOf, timeOf } from './print-answer.ts'

export async function keyList(context: Context, [name]: readonly string[]): Promise<void> {
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

export async function keyCreate(context: Context, [name = '']: readonly string[]): Promise<void> {
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

export async function keyRotate(context: Context, [wanted = '']: readonly string[]): Promise<void> {
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

export async function keyRevoke(context: Context, [wanted = '']: readonly string[]): Promise<void> {
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
