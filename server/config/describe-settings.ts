import { stringify } from 'yaml'
import { type SchemaNode, schemaNodeOf } from '../distribution/problems.ts'
import { DEFAULT_DISTRIBUTIONS } from './defaults.ts'
import { settingsSchema } from './schema.ts'

interface Row {
  readonly key: string
  readonly node: SchemaNode
  readonly required: boolean
}

interface Section {
  readonly title: string
  readonly intro: string
  readonly rows: readonly Row[]
}

const FACTS = new Set(['expected', 'expectedKey', 'secret', 'env', 'flag'])

/** The JSON Schema of nearcast.yaml, for editors. */
export function configurationSchema(): Readonly<Record<string, unknown>> {
  const schema = withoutFacts(schemaNodeOf(settingsSchema)) as Record<string, unknown>
  return { ...schema, title: 'nearcast.yaml' }
}

/** `docs/CONFIGURATION.md`, made from the schema alone. */
export function configurationPage(): string {
  const root = schemaNodeOf(settingsSchema)
  const sections = listSections(root)
  return `${[
    '# Configuration',
    '<!-- Made from server/config/schema.ts and server/distribution/schema.ts by `npm run docs`. -->',
    INTRO,
    overridesTable(root),
    ...sections.map(writeSection),
    '## The default distribution',
    'Without `distributions` in the file these are served:',
    `\`\`\`yaml\n${stringify({ distributions: DEFAULT_DISTRIBUTIONS }).trimEnd()}\n\`\`\``,
  ].join('\n\n')}\n`
}

const INTRO = `Flags beat environment variables, these beat \`nearcast.yaml\` (in the working folder, or named by \`--config FILE\` or
\`NEARCAST_CONFIG\`), and the file beats the defaults. Durations take \`ms\`, \`s\`, \`m\`, \`h\`, \`d\`, bare numbers are seconds; sizes
take \`KiB\`, \`MiB\`, \`GiB\`, \`TiB\` (and \`kB\`…), bare numbers are bytes. What is not known is an error that names the nearest
known key. \`nearcast config check\` checks without starting, \`nearcast config schema\` prints the JSON Schema for editors.
Credentials and region of S3 come from the AWS SDK's own variables. The \`nearcast\` command finds its server by
\`ready.json\` in the data folder, else by \`NEARCAST_CONTROL_URL\` and \`NEARCAST_TOKEN\`.

The file is read at the start: a change of it needs a restart. What is changed through the API or the console is in force at once.
Origins named in the file are added to the default ones; \`distributions\` replaces the default ones wholly.`

function listSections(root: SchemaNode): readonly Section[] {
  const top = rowsOf(root)
  const groups = top.filter(({ node }) => node.properties)
  const origins = childOf(root, 'origins').additionalProperties
  const edges = childOf(root, 'edges').items
  const distributions = childOf(root, 'distributions').items
  const kinds = typeof distributions === 'object' ? alternatives(distributions) : []
  const behaviors = kinds.flatMap((kind) => kind.properties?.['behaviors']?.items ?? [])
  return [
    {
      title: 'Top level',
      intro: '',
      rows: top.filter(({ node }) => !node.properties),
    },
    ...groups.map(({ key, node }) => ({ title: `\`${key}\``, intro: '', rows: rowsOf(node) })),
    ...(typeof origins === 'object' ? alternatives(origins) : []).map((node) => ({
      title: `\`origins.NAME\` of kind ${kindOf(node)}`,
      intro: node.properties?.['kind']?.description ?? '',
      rows: nestedRows(node),
    })),
    {
      title: '`edges[]`',
      intro: '',
      rows: typeof edges === 'object' ? rowsOf(edges) : [],
    },
    ...kinds.map((node) => ({
      title: `\`distributions[]\` of kind ${kindOf(node)}`,
      intro: node.properties?.['kind']?.description ?? '',
      rows: nestedRows(node),
    })),
    ...behaviors
      .filter((node) => typeof node === 'object')
      .map((node) => ({
        title: '`distributions[].behaviors[]`',
        intro: '',
        rows: nestedRows(node),
      })),
  ]
}

function childOf(node: SchemaNode, key: string): SchemaNode {
  return node.properties?.[key] ?? {}
}

function alternatives(node: SchemaNode): readonly SchemaNode[] {
  return node.oneOf ?? node.anyOf ?? []
}

function kindOf(node: SchemaNode): string {
  return `\`${JSON.stringify(node.properties?.['kind']?.const)}\``.replaceAll('"', '')
}

function rowsOf(node: SchemaNode): readonly Row[] {
  return Object.entries(node.properties ?? {}).map(([key, child]) => ({
    key,
    node: child,
    required: node.required?.includes(key) ?? false,
  }))
}

/** Rows with those of inner groups in their place: `ttl.min`. Records of groups too: `errors.STATUS.page`. */
function nestedRows(node: SchemaNode): readonly Row[] {
  return rowsOf(node).flatMap((row): readonly Row[] => {
    const inner = row.node.properties
      ? { prefix: row.key, node: row.node }
      : typeof row.node.additionalProperties === 'object' &&
          row.node.additionalProperties.properties
        ? { prefix: `${row.key}.STATUS`, node: row.node.additionalProperties }
        : undefined
    if (!inner) return [row]
    const rows = nestedRows(inner.node).map((one) => ({
      ...one,
      key: `${inner.prefix}.${one.key}`,
    }))
    return row.node.properties ? rows : [row, ...rows]
  })
}

function overridesTable(root: SchemaNode): string {
  const lines = collectOverrides(root, '').map(
    ({ key, node }) =>
      `| \`${key}\` | ${node.flag ? `\`${node.flag}\`` : ''} | ${node.env ? `\`${node.env}\`` : ''} |`,
  )
  return [
    '## Flags and environment',
    '',
    '| sets | flag | variable |',
    '|---|---|---|',
    '| the file | `--config` | `NEARCAST_CONFIG` |',
    ...lines,
  ].join('\n')
}

function collectOverrides(
  node: SchemaNode,
  prefix: string,
): readonly { readonly key: string; readonly node: SchemaNode }[] {
  return rowsOf(node).flatMap(({ key, node: child }) => {
    const at = `${prefix}${key}`
    const own =
      child.env !== undefined || child.flag !== undefined ? [{ key: at, node: child }] : []
    return [...own, ...collectOverrides(child, `${at}.`)]
  })
}

function writeSection({ title, intro, rows }: Section): string {
  const lines = rows.map(
    ({ key, node, required }) =>
      `| \`${key}\` | ${cell(typeOf(node))} | ${required ? 'required' : preset(node)} | ${cell(node.description ?? '')} |`,
  )
  return [
    `## ${title}`,
    '',
    ...(intro === '' ? [] : [intro, '']),
    '| option | value | default | |',
    '|---|---|---|---|',
    ...lines,
  ].join('\n')
}

function typeOf(node: SchemaNode): string {
  if (node.const !== undefined) return `\`${JSON.stringify(node.const)}\``.replaceAll('"', '')
  if (node.expected !== undefined) return node.expected
  if (node.type === 'array') return 'a list'
  return 'a group'
}

function preset(node: SchemaNode): string {
  const { default: value } = node
  if (value === undefined) return ''
  if (value === '') return 'none'
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function withoutFacts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutFacts)
  if (typeof value !== 'object' || value === null) return value
  const isNode = 'type' in value || 'anyOf' in value || 'oneOf' in value || 'const' in value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, inner]) => !(isNode && FACTS.has(key) && typeof inner !== 'object'))
      .map(([key, inner]) => [key, withoutFacts(inner)]),
  )
}
