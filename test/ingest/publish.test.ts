import { once } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { RtmpClient } from '../support/rtmp-client.ts'
import { writeAmf0, writeAmf0Array } from '../../server/formats/flv/amf0.ts'
import { writeMessage } from '../../server/rtmp/chunk-writer.ts'
import {
  eventually,
  KEY,
  picture,
  sendHeaders,
  SOUND,
  startTestListener,
  VIDEO_HEADER,
} from './start-listener.ts'

let stop: (() => Promise<void>) | undefined
async function start(...args: Parameters<typeof startTestListener>) {
  const started = await startTestListener(...args)
  stop = started.close
  return started
}
afterEach(async () => {
  await stop?.()
  stop = undefined
})

describe('publishing', () => {
  test('a key starts its stream under the public name, with tracks, metadata and frames', async () => {
    const { port, watched, sessions } = await start()
    const publisher = await RtmpClient.publishing(port, KEY)
    expect(publisher.statuses()).toEqual(['NetStream.Publish.Start'])
    publisher.send(
      18,
      Buffer.concat([
        writeAmf0('@setDataFrame', 'onMetaData'),
        writeAmf0Array({ encoder: 'test', videocodecid: 7, audiocodecid: 10 }),
      ]),
    )
    sendHeaders(publisher)
    publisher.send(9, picture(true), 10)
    publisher.send(8, SOUND, 12)
    await eventually(() => watched[0]?.frames.length === 2)
    const stream = watched[0]?.stream
    expect(stream?.name).toBe('main')
    expect(stream?.metadata['encoder']).toBe('test')
    expect(stream?.tracks.map((track) => track.codecString)).toEqual(['avc1.64000d', 'mp4a.40.2'])
    expect(watched[0]?.frames.map((frame) => [frame.trackId, frame.dts])).toEqual([
      [1, 10],
      [2, 12],
    ])
    expect(sessions()).toMatchObject([{ state: 'publishing', name: 'main', agent: 'test' }])
  })

  test.each([
    ['a query behind the key', 'live', `${KEY}?backup=1`],
    ['a slash behind the application', 'live/', KEY],
    ['the key in the server’s field', `live/${KEY}`, ''],
  ])('%s is taken', async (_, app, name) => {
    const { port, registry } = await start()
    const client = await RtmpClient.connected(port, app)
    client.command('publish', 0, null, name, 'live')
    await client.until(() => client.statuses().length > 0)
    expect(client.statuses()).toEqual(['NetStream.Publish.Start'])
    expect(registry.get('main')).toBeDefined()
  })

  test('a wrong key gets BadName and no Start, is closed, and no line tells a key', async () => {
    const { port, registry, lines } = await start()
    const client = await RtmpClient.publishing(port, 'guessed-key')
    client.send(9, VIDEO_HEADER)
    await client.untilClosed()
    expect(client.statuses()).toEqual(['NetStream.Publish.BadName'])
    expect(registry.list()).toEqual([])
    await RtmpClient.publishing(port, KEY)
    expect(JSON.stringify(lines)).not.toMatch(new RegExp(`guessed-key|${KEY}`))
  })

  test('a refused publisher that stays is destroyed a second later, whatever it sent behind', async () => {
    const clock = new FakeClock()
    const { port } = await start({ clock })
    const client = await RtmpClient.open(port, { allowHalfOpen: true })
    client.greet()
    client.command('connect', 1, { app: 'live' })
    const publish = writeMessage(20, 1, 0, writeAmf0('publish', 3, null, 'guessed-key'))
    client.raw(Buffer.concat([publish, Buffer.from('fffe', 'hex')]))
    await once(client.socket, 'end')
    client.send(9, VIDEO_HEADER)
    await clock.advance(999)
    client.send(9, VIDEO_HEADER)
    await clock.advance(0)
    expect(client.closed).toBe(false)
    await clock.advance(1)
    // What is sent to a socket that is gone is answered by a reset.
    while (!client.closed) {
      client.send(9, VIDEO_HEADER)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })

  test('a flood of wrong keys is one line, and 10 s later how many more', async () => {
    const clock = new FakeClock()
    const { port, lines } = await start({ clock })
    for (let i = 0; i < 5; i += 1) {
      const client = await RtmpClient.publishing(port, `guess-${i}`)
      await client.untilClosed()
    }
    const warnings = () => lines.filter((line) => line.level === 'warn').map((line) => line.text)
    expect(warnings()).toEqual([expect.stringContaining('The stream key is not known.')])
    await clock.advance(10_000)
    expect(warnings().slice(1)).toEqual([
      'rtmp publishers refused {"part":"rtmp","address":"127.0.0.1","unwritten":4}',
    ])
  })

  test('another application is refused', async () => {
    const { port } = await start()
    const client = await RtmpClient.connected(port, 'vod')
    client.command('publish', 3, null, KEY, 'live')
    await client.untilClosed()
    expect(client.statuses()).toEqual(['NetStream.Publish.BadName'])
  })

  test('with open publishing the key is the name, when it can be one', async () => {
    const { port, registry } = await start({ publishAuth: 'open' })
    await RtmpClient.publishing(port, 'my_stream-1')
    expect(registry.get('my_stream-1')).toBeDefined()
    const bad = await RtmpClient.publishing(port, '../etc')
    expect(bad.statuses()).toEqual(['NetStream.Publish.BadName'])
  })

  test('media sent before publish does not count', async () => {
    const { port, watched } = await start()
    const client = await RtmpClient.connected(port)
    sendHeaders(client)
    client.send(9, picture(true))
    client.command('publish', 3, null, KEY, 'live')
    await client.until(() => client.statuses().length > 0)
    expect(watched[0]?.stream.tracks).toEqual([])
  })

  test('a second publisher takes over at once: the first is cut, and its frames end', async () => {
    const { port, watched, registry } = await start()
    const first = await RtmpClient.publishing(port, KEY)
    sendHeaders(first)
    first.send(9, picture(true))
    await eventually(() => watched[0]?.frames.length === 1)
    const second = await RtmpClient.publishing(port, KEY)
    await first.untilClosed()
    expect(watched[0]?.end).toBe('replaced')
    sendHeaders(second)
    second.send(9, picture(true))
    await eventually(() => watched[1]?.frames.length === 1)
    expect(registry.get('main')).toBe(watched[1]?.stream)
    expect(registry.get('main')?.epoch).not.toBe(watched[0]?.stream.epoch)
  })

  test('with a backup key stands by: nobody is cut, and it follows the other', async () => {
    const { port, watched } = await start({
      resolveKey: (key) => ({ name: 'main', backup: key === 'standby' }),
    })
    const first = await RtmpClient.publishing(port, KEY)
    const second = await RtmpClient.publishing(port, 'standby')
    for (const client of [first, second]) {
      sendHeaders(client)
      client.send(9, picture(true))
    }
    await eventually(() => watched[0]?.frames.length === 1)
    first.close()
    await eventually(() => watched[1]?.frames.length === 1)
    expect(watched.map(({ end }) => end)).toEqual(['lost', undefined])
    const third = await RtmpClient.publishing(port, KEY)
    sendHeaders(third)
    third.send(9, picture(true))
    await eventually(() => watched[2]?.frames.length === 1)
    expect(second.closed).toBe(false)
    expect(watched[1]?.end).toBeUndefined()
  })

  test('GStreamer’s way: transaction 0, small chunks, deleteStream with the name; then again', async () => {
    const { port, watched } = await start()
    const client = await RtmpClient.connected(port)
    client.command('releaseStream', 0, null, KEY)
    client.command('FCPublish', 0, null, KEY)
    client.command('publish', 0, null, KEY, 'live')
    await client.until(() => client.statuses().length === 1)
    client.command('FCUnpublish', 0, null, KEY)
    client.command('deleteStream', 0, null, KEY)
    await client.until(() => client.statuses().length === 2)
    expect(watched[0]?.end).toBe('ended')
    client.command('publish', 0, null, KEY, 'live')
    await client.until(() => client.statuses().length === 3)
    expect(client.statuses()[2]).toBe('NetStream.Publish.Start')
  })

  test('a codec this server does not take is told, and the publisher closed', async () => {
    const { port, watched } = await start()
    const client = await RtmpClient.publishing(port, KEY)
    client.send(9, Buffer.from('9076703038', 'hex'))
    await client.untilClosed()
    expect(client.statuses()[1]).toBe('NetStream.Publish.Rejected')
    const told = client.commands().at(-1)?.[3]
    expect(told instanceof Map && told.get('description')).toMatch(/vp08.*takes H\.264/)
    expect(watched[0]?.end).toBe('lost')
  })

  test('a broken connection is lost, a stopped server stops', async () => {
    const { port, watched, close } = await start()
    const first = await RtmpClient.publishing(port, KEY)
    first.close()
    await eventually(() => watched[0]?.end !== undefined)
    expect(watched[0]?.end).toBe('lost')
    const second = await RtmpClient.publishing(port, KEY)
    await close()
    stop = undefined
    await second.untilClosed()
    expect(watched[1]?.end).toBe('stopped')
  })
})

describe('deadlines', () => {
  test('10 s for the handshake, however slowly it trickles', async () => {
    const clock = new FakeClock()
    const { port } = await start({ clock })
    const client = await RtmpClient.open(port)
    client.raw(Buffer.from([3]))
    await clock.advance(6000)
    client.raw(Buffer.alloc(100))
    await clock.advance(4000)
    await client.untilClosed()
  })

  test('30 s to publish or play', async () => {
    const clock = new FakeClock()
    const { port, sessions } = await start({ clock })
    const client = await RtmpClient.connected(port)
    await clock.advance(29_000)
    expect(sessions()).toHaveLength(1)
    await clock.advance(1000)
    await client.untilClosed()
  })

  test('a publisher without a frame for 10 s is lost, whatever else it sends', async () => {
    const clock = new FakeClock()
    const { port, watched, sessions } = await start({ clock })
    const client = await RtmpClient.publishing(port, KEY)
    sendHeaders(client)
    client.send(9, picture(true))
    await eventually(() => watched[0]?.frames.length === 1)
    await clock.advance(9000)
    const before = sessions()[0]?.bytesIn ?? 0
    client.command('FCPublish', 7, null, 'x')
    await client.until(() => client.commands().some(([, transaction]) => transaction === 7))
    expect(sessions()[0]?.bytesIn).toBeGreaterThan(before)
    expect(watched[0]?.end).toBeUndefined()
    await clock.advance(1000)
    expect(watched[0]?.end).toBe('lost')
    await client.untilClosed()
  })

  test('a half-open publisher keeps nobody out, not even whom it displaced', async () => {
    const clock = new FakeClock()
    const { port, watched } = await start({ clock, host: '0.0.0.0' })
    const home = await RtmpClient.publishing(port, KEY)
    const phone = await RtmpClient.publishing(port, KEY, '::1')
    expect(watched[0]?.end).toBe('replaced')
    await home.untilClosed()
    await clock.advance(2500)
    const again = await RtmpClient.publishing(port, KEY)
    expect(watched).toHaveLength(3)
    expect(watched[1]?.end).toBe('replaced')
    again.close()
    await phone.untilClosed()
  })

  test('time in which the server itself was stopped is no silence', async () => {
    const clock = new FakeClock()
    const { port, watched } = await start({ clock })
    const client = await RtmpClient.publishing(port, KEY)
    await clock.advance(5000)
    await clock.standStill(3_600_000)
    expect(watched[0]?.end).toBeUndefined()
    await clock.advance(3000)
    expect(watched[0]?.end).toBeUndefined()
    await clock.advance(1000)
    expect(watched[0]?.end).toBe('lost')
    await client.untilClosed()
  })
})

describe('listening', () => {
  test('all addresses mean IPv4 and IPv6', async () => {
    const { port } = await start({ host: '0.0.0.0' })
    for (const host of ['127.0.0.1', '::1']) {
      const client = await RtmpClient.open(port, { host })
      client.close()
    }
  })

  test('a taken port is port-taken', async () => {
    const { port } = await start()
    await expect(startTestListener({ port })).rejects.toMatchObject({ code: 'port-taken' })
  })

  test('past the limit of connections new ones are closed, the others stay', async () => {
    const { port } = await start({ limits: { connections: 2 } })
    const first = await RtmpClient.connected(port)
    await RtmpClient.connected(port)
    const third = await RtmpClient.open(port)
    await third.untilClosed()
    expect(first.closed).toBe(false)
    first.close()
  })
})
