import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { httpOrigin } from '../../server/edge/http-origin.ts'
import { systemClock } from '../../server/lib/clock.ts'
import { deferred } from '../../server/lib/deferred.ts'
import { silentLog } from '../../server/lib/log.ts'
import { type EdgeFixture, startEdge } from '../support/edge-fixture.ts'
import { startWebServer } from '../support/web-server.ts'

const film = Buffer.from(Array.from({ length: 1_000_000 }, (_, at) => at % 251))
const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Asked {
  readonly range: string | undefined
  readonly ifMatch: string | undefined
}

interface Settings {
  readonly fields?: Record<string, string>
  /** Of the answers from the second on. */
  readonly laterEtag?: string
  readonly responseMs?: number
  /** How an answer ends: after so many bytes, and by what. */
  readonly dies: (
    count: number,
  ) => { readonly after: number; readonly by: 'cut' | 'silence' } | undefined
  /** What it answers with instead of bytes, to the request of this number. */
  readonly refuses?: (count: number) => number | undefined
  /** It answers the whole, whatever range is asked for. */
  readonly knowsNoRanges?: boolean
}

/** A web server with one film that dies in the midst of it, and an edge before it. */
async function startMortal(settings: Settings): Promise<{ edge: EdgeFixture; asked: Asked[] }> {
  const asked: Asked[] = []
  const server = await startWebServer((request: IncomingMessage, response: ServerResponse) => {
    const { range, 'if-match': ifMatch } = request.headers
    asked.push({ range, ifMatch })
    const refusal = settings.refuses?.(asked.length)
    if (refusal !== undefined) return response.writeHead(refusal, { 'retry-after': '1' }).end()
    const etag = asked.length > 1 ? (settings.laterEtag ?? '"v1"') : '"v1"'
    if (ifMatch !== undefined && ifMatch !== etag) return response.writeHead(412).end()
    const from = settings.knowsNoRanges ? 0 : Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0)
    const body = film.subarray(from)
    response.writeHead(from > 0 ? 206 : 200, {
      etag,
      'cache-control': 'max-age=60',
      'content-length': body.length,
      ...(from > 0 && { 'content-range': `bytes ${from}-${film.length - 1}/${film.length}` }),
      ...settings.fields,
    })
    const death = settings.dies(asked.length)
    if (!death) return response.end(body)
    return response.write(body.subarray(0, death.after), () => {
      if (death.by === 'cut') response.destroy()
    })
  })
  closing.push(() => server.close())
  const timeouts = { connectMs: 5000, responseMs: settings.responseMs ?? 5000 }
  const options = { kind: 'http' as const, url: server.url, headers: {}, timeouts }
  const origin = httpOrigin('site', options, { clock: systemClock, log: silentLog })
  closing.push(() => origin.close())
  const edge = await startEdge({ origins: [origin], sliceBytes: 64 * 1024 })
  closing.push(() => edge.close())
  return { edge, asked }
}

const ACCEPTS = { 'accept-ranges': 'bytes' }
const onceAt300k = (count: number) =>
  count === 1 ? ({ after: 300_000, by: 'cut' } as const) : undefined

test('five viewers get a film whole whose web server dies three times, and each byte was asked for once', async () => {
  const { edge, asked } = await startMortal({
    fields: ACCEPTS,
    dies: (count) => (count <= 3 ? { after: 200_000, by: 'cut' } : undefined),
  })

  const answers = await Promise.all(Array.from({ length: 5 }, () => edge.ask('/film')))

  for (const { body } of answers) expect(body.equals(film)).toBe(true)
  expect(asked).toHaveLength(4)
  const starts = asked.map(({ range }) =>
    Number(/^bytes=(\d+)-999999$/.exec(range ?? '')?.[1] ?? 0),
  )
  expect(starts).toEqual([...starts].sort((a, b) => a - b))
  expect(new Set(starts).size).toBe(4)
  expect(asked.slice(1).every(({ ifMatch }) => ifMatch === '"v1"')).toBe(true)
  expect((await edge.ask('/film')).body.equals(film)).toBe(true)
  expect(asked).toHaveLength(4)
})

test('the rest is asked for as well where the server said nothing of ranges', async () => {
  const { edge, asked } = await startMortal({ dies: onceAt300k })

  expect((await edge.ask('/film')).body.equals(film)).toBe(true)
  expect(asked).toMatchObject([{ range: undefined }, { range: expect.stringMatching(/-999999$/) }])
})

test('a server that knows no ranges gives the whole again, of which the viewer gets the rest', async () => {
  const { edge, asked } = await startMortal({ dies: onceAt300k, knowsNoRanges: true })

  expect((await edge.ask('/film')).body.equals(film)).toBe(true)
  expect(asked).toHaveLength(2)
})

test('a server that falls silent in the midst counts as dead', async () => {
  const { edge, asked } = await startMortal({
    fields: ACCEPTS,
    responseMs: 100,
    dies: (count) => (count === 1 ? { after: 300_000, by: 'silence' } : undefined),
  })

  expect((await edge.ask('/film')).body.equals(film)).toBe(true)
  expect(asked).toHaveLength(2)
})

test('nothing is put together from two films: the viewer is cut, the next one gets the new one', async () => {
  const { edge, asked } = await startMortal({
    fields: ACCEPTS,
    laterEtag: '"v2"',
    dies: onceAt300k,
  })

  await expect(edge.ask('/film')).rejects.toThrow(/aborted|cut|hang up/)
  const next = await edge.ask('/film')
  expect(next).toMatchObject({ status: 200, headers: { etag: '"v2"' } })
  expect(next.body.equals(film)).toBe(true)
  expect(asked.map(({ ifMatch }) => ifMatch)).toEqual([undefined, '"v1"', undefined])
})

test.each([301, 401, 403, 408, 429, 500, 502, 503, 504])(
  'a range that is answered with %d failed: what is stored stays, and the next viewer has only the rest fetched',
  async (refusal) => {
    const { edge, asked } = await startMortal({
      fields: ACCEPTS,
      dies: onceAt300k,
      refuses: (count) => (count === 2 ? refusal : undefined),
    })
    await expect(edge.ask('/film')).rejects.toThrow(/aborted|cut|hang up/)

    await edge.clock.advance(1000)
    const next = await edge.ask('/film')

    expect(next).toMatchObject({ status: 200, headers: { etag: '"v1"' } })
    expect(next.body.equals(film)).toBe(true)
    expect(asked).toHaveLength(3)
    expect(asked[2]).toMatchObject({ range: expect.stringMatching(/^bytes=[1-9]\d+-999999$/) })
  },
)

test.each([429, 503])(
  'after a %d to a range the origin is left alone as long as it asks',
  async (refusal) => {
    const { edge, asked } = await startMortal({
      fields: ACCEPTS,
      dies: onceAt300k,
      refuses: (count) => (count === 2 ? refusal : undefined),
    })
    await expect(edge.ask('/film')).rejects.toThrow(/aborted|cut|hang up/)
    const last = { headers: { range: 'bytes=900000-' } }

    await edge.clock.advance(999)
    expect(await edge.ask('/film', last)).toMatchObject({ status: 502 })
    const held = await edge.ask('/film', { headers: { range: 'bytes=0-9' } })
    expect([held.status, asked.length]).toEqual([206, 2])

    await edge.clock.advance(1)
    expect(await edge.ask('/film', last)).toMatchObject({ status: 206 })
  },
)

test.each([404, 410, 412])('after a %d to a range the object is asked for anew', async (gone) => {
  const { edge, asked } = await startMortal({
    fields: ACCEPTS,
    dies: onceAt300k,
    refuses: (count) => (count === 2 ? gone : undefined),
  })
  await expect(edge.ask('/film')).rejects.toThrow(/aborted|cut|hang up/)

  expect((await edge.ask('/film')).body.equals(film)).toBe(true)
  expect(asked.map(({ range }) => range)).toEqual([undefined, expect.any(String), undefined])
})

test.each([
  ['says that it takes none', { 'accept-ranges': 'none' }],
  ['has a weak etag', { etag: 'W/"v1"', ...ACCEPTS }],
])(
  'of a server that %s no rest is asked for: the viewer is cut and nothing is kept',
  async (_, fields) => {
    const { edge, asked } = await startMortal({ fields, dies: onceAt300k })

    await expect(edge.ask('/film')).rejects.toThrow(/aborted|cut|hang up/)
    expect((await edge.ask('/film')).body.equals(film)).toBe(true)
    expect(asked.map(({ range }) => range)).toEqual([undefined, undefined])
  },
)

test('a server that dies at every byte is not asked for ever', async () => {
  const gone = deferred()
  const { edge, asked } = await startMortal({
    fields: ACCEPTS,
    dies: () => ({ after: 1, by: 'cut' }),
  })

  await edge.ask('/film').catch(() => gone.resolve())
  await gone.promise
  expect(asked.length).toBeLessThan(10)
})
