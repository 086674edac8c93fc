import { afterAll, beforeAll, expect, it } from 'vitest'
import { startServer, type TestServer } from '../support/server.ts'

const edgeNamed = (id: string) => `{ id: ${id}, at: [0, 0], url: 'http://${id}.test' }`
let origin: TestServer

interface Edges {
  readonly edges: readonly { readonly id: string; readonly seq?: number }[]
  readonly position: { readonly seq: number }
}
beforeAll(async () => {
  origin = await startServer({
    config: `edges: [${edgeNamed('home')}, ${edgeNamed('perth')}, ${edgeNamed('lima')}]`,
  })
})
afterAll(async () => {
  await origin.stop()
})

const startEdge = (workers: string) =>
  startServer({
    env: {
      NEARCAST_ROLE: 'edge',
      NEARCAST_HTTP_WORKERS: workers,
      NEARCAST_PARENT: origin.ready.origin ?? '',
      NEARCAST_PARENT_TOKEN: origin.ready.edgeToken ?? '',
    },
    config: `edges: [${edgeNamed('perth')}]`,
  })

async function invalidated(): Promise<string> {
  const made = await origin.api('POST', '/invalidations', { paths: ['/a'] })
  expect(made.status).toBe(201)
  return (made.body as { id: string }).id
}

it.each([['0'], ['2']])(
  'an edge with %s workers says what it has applied, and is up to date, also after a change of keys',
  async (workers) => {
    await using _ = await startEdge(workers)
    const id = await invalidated()
    await expect
      .poll(async () => (await origin.api('GET', `/invalidations/${id}`)).body, { timeout: 60_000 })
      .toMatchObject({
        status: 'completed',
        edges: [
          { id: 'home', state: 'applied' },
          { id: 'perth', state: 'applied' },
          { id: 'lima', state: 'unknown' },
        ],
      })
    const key = await origin.api('POST', '/keys', { name: `stage-${workers}` })
    expect(key.status).toBe(201)
    await expect
      .poll(async () => (await origin.api('GET', '/edges')).body, { timeout: 60_000 })
      .toSatisfy((body: Edges) => {
        const perth = body.edges.find(({ id: edge }) => edge === 'perth')
        return perth?.seq === body.position.seq
      })
  },
)

it('an edge that has stopped is not waited for', async () => {
  const id = await invalidated()
  const { body } = await origin.api('GET', `/invalidations/${id}`)
  expect(body).toMatchObject({ status: 'completed' })
  expect(body).toMatchObject({ edges: [{}, { id: 'perth', state: 'unknown' }, {}] })
})
