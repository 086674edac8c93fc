import * as z from 'zod'
import { ERRORS } from '../lib/errors.ts'
import type { Route } from './route.ts'

/** What the description tells of a row. */
export interface Described
  extends Pick<Route, 'method' | 'path' | 'summary' | 'query' | 'body' | 'status'> {
  /** Request fields it reads, and what they mean. */
  readonly fields?: Readonly<Record<string, string>>
  /** Media type of what it answers; JSON unless given. */
  readonly type?: string
}

/** The API's description (OpenAPI 3.1), made of the routes themselves. */
export function openApiOf(routes: readonly Described[], version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const row of routes) {
    const path = `/api/v1${row.path}`
    paths[path] = { ...paths[path], [row.method]: operationOf(row) }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Nearcast', version, license: { name: 'Apache-2.0' } },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Error: {
          type: 'object',
          required: ['code', 'message'],
          properties: {
            code: { type: 'string', enum: Object.keys(ERRORS) },
            message: { type: 'string' },
          },
        },
      },
    },
  }
}

function operationOf(row: Described): object {
  const inPath = [...row.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  const inQuery = Object.entries(row.query ?? {}).map(([name, description]) => ({
    name,
    in: 'query',
    required: true,
    description,
    schema: { type: 'string' },
  }))
  const inHeader = Object.entries(row.fields ?? {}).map(([name, description]) => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string' },
  }))
  const schema = row.body && z.toJSONSchema(row.body, { io: 'input', unrepresentable: 'any' })
  return {
    operationId: `${row.method}${row.path.replaceAll(/[/{}]+(\w)/g, (_, letter: string) => letter.toUpperCase()).replaceAll(/[/{}]/g, '')}`,
    summary: row.summary,
    parameters: [...inPath, ...inQuery, ...inHeader],
    ...(schema && {
      requestBody: { required: true, content: { 'application/json': { schema } } },
    }),
    responses: {
      [row.status]: {
        description: row.status === 204 ? 'Done' : row.summary,
        ...(row.type !== undefined && { content: { [row.type]: { schema: { type: 'string' } } } }),
      },
      default: {
        description: 'What went wrong',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  }
}
