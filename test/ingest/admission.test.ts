import { afterEach, describe, expect, test } from 'vitest'
import type { AdmissionRequest, AdmissionVerdict } from '../../server/ingest/admission.ts'
import { RtmpClient } from '../support/rtmp-client.ts'
import { eventually, KEY, picture, sendHeaders, startTestListener } from './start-listener.ts'

let stop: (() => Promise<void>) | undefined
afterEach(async () => {
  await stop?.()
  stop = undefined
})

/** A listener whose publishers wait until the test decides. */
async function start(more: Parameters<typeof startTestListener>[0] = {}) {
  const asked: {
    readonly about: AdmissionRequest
    readonly signal: AbortSignal
    decide(verdict: AdmissionVerdict): void
    fail(error: Error): void
  }[] = []
  const started = await startTestListener({
    admission: (about, signal) =>
      new Promise((decide, fail) => {
        asked.push({ about, signal, decide, fail })
      }),
    ...more,
  })
  stop = started.close
  const publish = async (key = KEY) => {
    const client = await RtmpClient.connected(started.port)
    client.command('publish', 3, null, key, 'live')
    return client
  }
  return { ...started, asked, publish }
}

describe('a publisher that somebody else decides on', () => {
  test('gets no word and no stream until it is admitted, then publishes', async () => {
    const { asked, publish, registry, sessions, watched } = await start()
    const client = await publish()
    await eventually(() => asked.length === 1)
    expect(asked[0]?.about).toEqual({
      stream: 'main',
      backup: false,
      protocol: 'rtmp',
      address: '127.0.0.1',
      agent: 'test',
    })
    expect(JSON.stringify(asked)).not.toContain(KEY)
    expect(client.statuses()).toEqual([])
    expect(registry.list()).toEqual([])
    expect(sessions()).toMatchObject([{ state: 'deciding', name: 'main' }])
    asked[0]?.decide({ kind: 'admitted' })
    await client.until(() => client.statuses().length > 0)
    expect(client.statuses()).toEqual(['NetStream.Publish.Start'])
    sendHeaders(client)
    client.send(9, picture(true), 10)
    await eventually(() => watched[0]?.frames.length === 1)
  })

  test('is refused with the words of who decides, before any Start', async () => {
    const { asked, publish, registry, lines } = await start()
    const client = await publish()
    await eventually(() => asked.length === 1)
    asked[0]?.decide({ kind: 'refused', description: 'Not on Mondays.', trouble: 'answered 500' })
    await client.untilClosed()
    expect(client.statuses()).toEqual(['NetStream.Publish.BadName'])
    expect(registry.list()).toEqual([])
    expect(JSON.stringify(lines)).toContain('Not on Mondays.')
    expect(JSON.stringify(lines)).toContain('answered 500')
  })

  test('is refused when deciding fails, which is logged, and the listener goes on', async () => {
    const { asked, publish, lines } = await start()
    const client = await publish()
    await eventually(() => asked.length === 1)
    asked[0]?.fail(new Error('a bug'))
    await client.untilClosed()
    expect(client.statuses()).toEqual(['NetStream.Publish.BadName'])
    expect(JSON.stringify(lines)).toContain('a bug')
    await publish()
    await eventually(() => asked.length === 2)
  })

  test('with a wrong key is not asked about', async () => {
    const { asked, publish } = await start()
    const client = await publish('guessed-key')
    await client.untilClosed()
    expect(client.statuses()).toEqual(['NetStream.Publish.BadName'])
    expect(asked).toEqual([])
  })

  test('whose key is revoked meanwhile is refused', async () => {
    let key = KEY
    const { asked, publish, registry } = await start({
      resolveKey: (given) => (given === key ? { name: 'main', backup: false } : undefined),
    })
    const client = await publish()
    await eventually(() => asked.length === 1)
    key = 'a-new-one'
    asked[0]?.decide({ kind: 'admitted' })
    await client.untilClosed()
    expect(client.statuses()).toEqual(['NetStream.Publish.BadName'])
    expect(registry.list()).toEqual([])
  })

  test('that leaves or stops is asked about no longer, and a late word changes nothing', async () => {
    const { asked, publish, registry, sessions } = await start()
    const left = await publish()
    await eventually(() => asked.length === 1)
    left.socket.destroy()
    await eventually(() => asked[0]?.signal.aborted === true)
    asked[0]?.decide({ kind: 'admitted' })
    const stopped = await publish()
    await eventually(() => asked.length === 2)
    stopped.command('deleteStream', 4, null, 1)
    await eventually(() => asked[1]?.signal.aborted === true)
    asked[1]?.decide({ kind: 'admitted' })
    // The connection may publish again.
    stopped.command('publish', 5, null, KEY, 'live')
    await eventually(() => asked.length === 3)
    expect(registry.list()).toEqual([])
    expect(sessions()).toMatchObject([{ state: 'deciding' }])
    asked[2]?.decide({ kind: 'admitted' })
    await stopped.until(() => stopped.statuses().length > 0)
    expect(stopped.statuses()).toEqual(['NetStream.Publish.Start'])
  })

  test('that asks twice is closed', async () => {
    const { asked, publish } = await start()
    const client = await publish()
    await eventually(() => asked.length === 1)
    client.command('publish', 4, null, KEY, 'live')
    await client.untilClosed()
    expect(asked[0]?.signal.aborted).toBe(true)
  })
})
