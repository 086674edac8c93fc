import * as z from 'zod'
import { ERRORS } from '../lib/errors.ts'
import type { Route } from './route.ts'

/** The API's description (OpenAPI 3.1), made of the routes themselves. */
export function openApiOf(routes: readonly Route[], version: string): object {
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

function operationOf(row: Route): object {
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
  const schema = row.body && z.toJSONSchema(row.body, { io: 'input', unrepresentable: 'any' })
  return {
    operationId: `${row.method}${row.path.replaceAll(/[/{}]+(\w)/g, (_, letter: string) => letter.toUpperCase()).replaceAll(/[/{}]/g, '')}`,
    summary: row.summary,
    parameters: [...inPath, ...inQuery],
    ...(schema && {
      requestBody: { required: true, content: { 'application/json': { schema } } },
    }),
    responses: {
      [row.status]: { description: row.status === 204 ? 'Done' : row.summary },
      default: {
        description: 'What went wrong',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  }
}
