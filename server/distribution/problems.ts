import * as z from 'zod'
import { nearestWord } from '../lib/nearest-word.ts'

/** One thing that is wrong in a value from outside. */
export interface Problem {
  readonly keys: readonly (string | number)[]
  /** What follows the key: `99999 is not a port (0 to 65535)`. No secret in it. */
  readonly message: string
}

/** The part of a JSON Schema that is looked at, with the facts of `option.ts` in it. */
export interface SchemaNode {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly expected?: string
  readonly expectedKey?: string
  readonly secret?: boolean
  readonly env?: string
  readonly flag?: string
  readonly default?: unknown
  readonly const?: unknown
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly additionalProperties?: SchemaNode | boolean
  readonly items?: SchemaNode | boolean
  readonly prefixItems?: readonly SchemaNode[]
  readonly anyOf?: readonly SchemaNode[]
  readonly oneOf?: readonly SchemaNode[]
}

const LONGEST_VALUE = 60
const MOST_PROBLEMS = 20

const nodes = new WeakMap<z.ZodType, SchemaNode>()

/** The schema of what people write, as JSON Schema; facts of `option.ts` are in it as further keywords. */
export function schemaNodeOf(schema: z.ZodType): SchemaNode {
  let node = nodes.get(schema)
  if (!node) {
    node = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaNode
    nodes.set(schema, node)
  }
  return node
}

/** Lines `key: what is wrong` for what a schema refused. */
export function problemsOf(
  schema: z.ZodType,
  error: z.ZodError,
  input: unknown,
): readonly string[] {
  return listProblems(schema, error, input).map(
    ({ keys, message }) => `${writeKeys(keys) || 'value'}: ${message}`,
  )
}

/** The same with keys apart, at most 20 of them. */
export function listProblems(
  schema: z.ZodType,
  error: z.ZodError,
  input: unknown,
): readonly Problem[] {
  const root = schemaNodeOf(schema)
  return error.issues.flatMap((issue) => describeIssue(root, issue, input)).slice(0, MOST_PROBLEMS)
}

/** `distributions[0].behaviors[2].path`. */
export function writeKeys(keys: readonly (string | number)[]): string {
  let written = ''
  for (const key of keys) {
    if (typeof key === 'number') written += `[${key}]`
    else written += `${written === '' ? '' : '.'}${printable(key)}`
  }
  return written
}

function describeIssue(root: SchemaNode, issue: z.core.$ZodIssue, input: unknown): Problem[] {
  const keys = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key))
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(nodeAt(root, keys, input)?.properties ?? {})
    return issue.keys.map((key) => ({
      keys: [...keys, key],
      message: unknownKey(keys, key, known),
    }))
  }
  const node = nodeAt(root, keys, input)
  if (issue.code === 'invalid_key') {
    const parent = nodeAt(root, keys.slice(0, -1), input)
    return [{ keys, message: `the key is not ${parent?.expectedKey ?? 'allowed here'}` }]
  }
  const value = valueAt(input, keys)
  if (issue.code === 'custom' && node?.expected === undefined)
    return [{ keys, message: issue.message }]
  const expected = expectedAt(root, keys, input, issue)
  if (value === undefined) {
    const otherwise = node?.env === undefined ? '' : ` (or set ${node.env})`
    return [{ keys, message: `is missing; it must be ${expected}${otherwise}` }]
  }
  return [{ keys, message: `${showValue(value, node)} is not ${expected}` }]
}

function unknownKey(
  parents: readonly (string | number)[],
  key: string,
  known: readonly string[],
): string {
  const nearest = nearestWord(key, known)
  if (nearest !== undefined) return `unknown key; did you mean ${writeKeys([...parents, nearest])}?`
  return `unknown key${known.length > 0 ? `; known here: ${known.join(', ')}` : ''}`
}

function expectedAt(
  root: SchemaNode,
  keys: readonly (string | number)[],
  input: unknown,
  issue: z.core.$ZodIssue,
): string {
  if ('options' in issue && Array.isArray(issue.options))
    return `one of ${issue.options.filter((option) => typeof option === 'string').join(', ')}`
  const node = nodeAt(root, keys, input)
  if (node?.expected !== undefined && !(issue.code === 'too_big' && node.type === 'array'))
    return node.expected
  if (issue.code === 'too_big') return `at most ${issue.maximum} long`
  if (node?.properties) return `a group of ${Object.keys(node.properties).join(', ')}`
  if (node?.type === 'array' || node?.items) return 'a list'
  if (node?.type === 'object') return 'a group'
  return 'allowed here'
}

/** The node for a key path; of alternatives the one whose `kind` is the value's. */
function nodeAt(
  root: SchemaNode,
  keys: readonly (string | number)[],
  input: unknown,
): SchemaNode | undefined {
  let node: SchemaNode | undefined = chooseNode(root, input)
  let value = input
  for (const key of keys) {
    value = valueAt(value, [key])
    node = childOf(node, key)
    node = node && chooseNode(node, value)
  }
  return node
}

function childOf(node: SchemaNode | undefined, key: string | number): SchemaNode | undefined {
  if (typeof key === 'number') {
    const item = node?.prefixItems?.[key] ?? node?.items
    return typeof item === 'object' ? item : undefined
  }
  if (node?.properties && Object.hasOwn(node.properties, key)) return node.properties[key]
  const rest = node?.additionalProperties
  return typeof rest === 'object' ? rest : undefined
}

function chooseNode(node: SchemaNode, value: unknown): SchemaNode {
  const alternatives = node.oneOf ?? node.anyOf
  if (!alternatives) return node
  const kind = valueAt(value, ['kind']) ?? 'web'
  const chosen = alternatives.find((one) => one.properties?.['kind']?.const === kind)
  return chosen ? { ...chosen, ...(node.expected ? { expected: node.expected } : {}) } : node
}

function valueAt(value: unknown, keys: readonly (string | number)[]): unknown {
  let at: unknown = value
  for (const key of keys) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined
    at = (at as Readonly<Record<string | number, unknown>>)[key]
  }
  return at
}

function showValue(value: unknown, node: SchemaNode | undefined): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a group'
  if (node?.secret) return 'its value'
  // Text where a group belongs may hold what only a member of the group may hide.
  if (node?.properties || node?.type === 'object')
    return typeof value === 'string' ? 'text' : `a ${typeof value}`
  const text = quoted(value)
  // However broken it is: a password with a slash in it, or no scheme in front.
  if (/(?::|\/\/).*@/.test(text)) return 'an address with a password'
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text
}

function printable(key: string): string {
  const shown = key.length > LONGEST_VALUE ? `${key.slice(0, LONGEST_VALUE)}…` : key
  return /^[\w./*~-]+$/.test(shown) ? shown : quoted(shown)
}

/** As JSON, also without the control characters that JSON leaves as they are: nothing of a file may steer a terminal. */
function quoted(value: unknown): string {
  return (JSON.stringify(value) ?? 'its value').replace(
    /[\u007f-\u009f]/g,
    (character) => `\\u00${character.charCodeAt(0).toString(16)}`,
  )
}
