import { afterEach, describe, expect, test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { RtmpClient } from '../support/rtmp-client.ts'
import { readAmf0, writeAmf0 } from '../../server/formats/flv/amf0.ts'
import { writeMessage } from '../../server/rtmp/chunk-writer.ts'
import { MESSAGE } from '../../server/rtmp/messages.ts'
import {
  eventually,
  KEY,
  picture,
  sendHeaders,
  SOUND,
  startTestListener,
} from './start-listener.ts'

let stop: (() => Promise<void>) | undefined
afterEach(async () => {
  await stop?.()
  stop = undefined
})

/** A stream with a key frame at 1000 and one picture behind it. */
async function live(deps: Parameters<typeof startTestListener>[0] = {}) {
  const server = await startTestListener(deps)
  stop = server.close
  const publisher = await RtmpClient.publishing(server.port, KEY)
  sendHeaders(publisher)
  publisher.send(9, picture(true), 500)
  publisher.send(9, picture(true), 1000)
  publisher.send(9, picture(false), 1033)
  await eventually(() => server.watched[0]?.frames.length === 3)
  return { ...server, publisher }
}

/** The onMetaData that a player has got. */
const described = (player: RtmpClient) =>
  player.messages
    .filter((m) => m.type === MESSAGE.dataAmf0)
    .map((m) => readAmf0(m.payload))
    .filter(([name]) => name === 'onMetaData')
    .map(([, object]) => (object instanceof Map ? object : new Map<string, unknown>()))

describe('playing live', () => {
  test('the order players need: begin, reset, start, access, metadata, headers, the last key frame', async () => {
    const { port } = await live()
    const player = await RtmpClient.playing(port, 'main')
    await player.until(() => player.media().length >= 4)
    const after = player.messages.slice(player.messages.findIndex((m) => m.type === 4))
    expect(after.map((m) => [m.type, m.timestamp])).toEqual([
      [MESSAGE.userControl, 0],
      [MESSAGE.commandAmf0, 0],
      [MESSAGE.commandAmf0, 0],
      [MESSAGE.dataAmf0, 0],
      [MESSAGE.dataAmf0, 0],
      [MESSAGE.video, 0],
      [MESSAGE.audio, 0],
      [MESSAGE.video, 1000],
      [MESSAGE.video, 1033],
    ])
    expect(player.statuses()).toEqual(['NetStream.Play.Reset', 'NetStream.Play.Start'])
    const [access, metadata] = after.filter((m) => m.type === MESSAGE.dataAmf0)
    expect(readAmf0(access?.payload ?? Buffer.alloc(0))[0]).toBe('|RtmpSampleAccess')
    const described = readAmf0(metadata?.payload ?? Buffer.alloc(0))[1]
    expect(described instanceof Map && described.get('videocodecid')).toBe(7)
    expect(described instanceof Map && described.get('width')).toBe(320)
  })

  test.each([
    ['live', 'main'],
    ['live', 'mp4:main'],
    ['live', 'flv:main?token=1'],
    ['live/main', ''],
    ['live/', '/main'],
  ])('application "%s" with name "%s" is the stream main', async (app, name) => {
    const { port } = await live()
    const player = await RtmpClient.connected(port, app)
    player.command('play', 0, null, name)
    await player.until(() => player.media().length >= 4)
  })

  test.each(['nobody', '', KEY, '../main', 'main/x'])('"%s" is StreamNotFound', async (name) => {
    const { port } = await live()
    const player = await RtmpClient.playing(port, name)
    await player.untilClosed()
    expect(player.statuses()).toEqual(['NetStream.Play.StreamNotFound'])
  })

  test.each([
    ['vod', 'mp4:film.mp4'],
    ['cfx/st', 'film'],
  ])('stored media is refused in words, in application "%s"', async (app, name) => {
    const { port } = await live()
    const player = await RtmpClient.connected(port, app)
    player.command('play', 0, null, name)
    await player.untilClosed()
    expect(player.statuses()).toEqual(['NetStream.Play.StreamNotFound'])
    const status = player.commands().findLast(([command]) => command === 'onStatus')?.[3]
    expect(status instanceof Map && status.get('description')).toBe(
      'Stored media over RTMP is not in this version.',
    )
  })

  test('what players ask besides is answered or passed over', async () => {
    const { port } = await live()
    const player = await RtmpClient.connected(port)
    player.command('createStream', 2, null)
    player.command('FCSubscribe', 3, null, 'main')
    player.command('getStreamLength', 4, null, 'main')
    player.command('_checkbw', 5, null)
    player.raw(
      Buffer.from('02000000 00000a04 00000000 0003 00000001 00000bb8'.replaceAll(' ', ''), 'hex'),
    )
    player.command('play', 0, null, 'main', -2000)
    player.command('seek', 0, null, 5000)
    await player.until(() => player.statuses().includes('NetStream.Seek.Notify'))
    const results = player.commands().filter(([name]) => name === '_result')
    expect(results.slice(1).map((values) => [values[1], values[3]])).toEqual([
      [2, 1],
      [3, null],
      [4, 0],
    ])
  })

  test('a player that sends video is broadcast to nobody', async () => {
    const { port, watched } = await live()
    const player = await RtmpClient.playing(port, 'main')
    player.send(9, picture(true), 2000)
    player.command('getStreamLength', 9, null, 'main')
    await player.until(() => player.commands().some((values) => values[1] === 9))
    expect(watched[0]?.frames).toHaveLength(3)
    expect(player.closed).toBe(false)
  })

  test('pause stops the frames, going on starts at a key frame', async () => {
    const { port, publisher, watched, sessions } = await live()
    const player = await RtmpClient.playing(port, 'main')
    await player.until(() => player.media().length >= 4)
    player.command('pause', 0, null, true, 100)
    await player.until(() => player.statuses().includes('NetStream.Pause.Notify'))
    expect(sessions().map((session) => session.state)).toContain('paused')
    publisher.send(9, picture(false), 1066)
    await eventually(() => watched[0]?.frames.length === 4)
    const before = player.media().length
    player.command('pause', 0, null, false, 100)
    await player.until(() => player.media().length >= before + 5)
    expect(
      player
        .media()
        .slice(before)
        .map((m) => m.timestamp),
    ).toEqual([0, 0, 1000, 1033, 1066])
  })

  test('when the stream ends, the player is told and closed', async () => {
    const { port, publisher } = await live()
    const player = await RtmpClient.playing(port, 'main')
    publisher.command('FCUnpublish', 6, null, KEY)
    await player.untilClosed()
    expect(player.statuses()).toContain('NetStream.Play.UnpublishNotify')
    expect(player.has('onPlayStatus')).toBe(true)
    expect(player.messages.at(-1)?.payload.toString('hex')).toBe('000100000001')
  })

  test('new metadata and new headers reach players that are there', async () => {
    const { port, publisher, watched } = await live()
    const player = await RtmpClient.playing(port, 'main')
    await player.until(() => player.media().length >= 4)
    publisher.send(8, Buffer.from('af001188', 'hex'))
    await player.until(() => player.media().length >= 6)
    expect(watched[0]?.stream.tracks[1]).toMatchObject({ channels: 1 })
    publisher.send(MESSAGE.dataAmf0, writeAmf0('onMetaData', { title: 'second half' }))
    await player.until(() => described(player).at(-1)?.get('title') === 'second half')
    expect(described(player).at(-1)?.get('width')).toBe(320)
  })

  test('a player that joins between a new header and the next key frame gets nothing before that', async () => {
    const { port, publisher, watched } = await live()
    publisher.send(8, Buffer.from('af001188', 'hex'))
    publisher.send(9, picture(false), 1066)
    await eventually(() => watched[0]?.frames.length === 4)
    const player = await RtmpClient.playing(port, 'main')
    await player.until(() => player.media().length >= 2)
    publisher.send(8, SOUND, 1080)
    publisher.send(9, picture(false), 1100)
    publisher.send(9, picture(true), 2000)
    publisher.send(8, SOUND, 2001)
    await player.until(() => player.media().at(-1)?.timestamp === 2001)
    expect(player.media().map((m) => [m.type, m.timestamp])).toEqual([
      [MESSAGE.video, 0],
      [MESSAGE.audio, 0],
      [MESSAGE.video, 2000],
      [MESSAGE.audio, 2001],
    ])
  })

  test('media goes out on the stream that createStream gives, whatever id play came on', async () => {
    const { port } = await live()
    const player = await RtmpClient.connected(port)
    player.raw(writeMessage(MESSAGE.commandAmf0, 7, 0, writeAmf0('play', 0, null, 'main')))
    await player.until(() => player.media().length >= 4)
    expect(player.media().map((m) => m.streamId)).toEqual([1, 1, 1, 1])
  })
})

describe('a player that stops reading', () => {
  const limits = { queue: { bytes: 1_000_000, mediaMs: 3_600_000 } }

  test('loses frames, nobody else does, and after 10 s its connection', async () => {
    const clock = new FakeClock()
    const { port, publisher, watched, sessions } = await live({ clock, limits })
    const stuck = await RtmpClient.playing(port, 'main')
    stuck.socket.pause()
    const good = await RtmpClient.playing(port, 'main')
    const dropped = () =>
      sessions().find((session) => session.state === 'playing' && session.id === 2)
        ?.droppedFrames ?? 0
    // The kernel takes some megabytes before anything waits here.
    let sent = 3
    while (dropped() === 0) {
      publisher.send(9, picture(false, 500_000), 1100 + sent)
      sent += 1
      await eventually(() => watched[0]?.frames.length === sent)
    }
    await good.until(() => good.media().length === 2 + sent - 1)
    expect(sessions().filter((session) => session.state === 'playing')).toHaveLength(2)
    await clock.advance(9000)
    publisher.send(8, SOUND, 9000)
    await eventually(() => watched[0]?.frames.length === sent + 1)
    await clock.advance(2000)
    expect(sessions().filter((session) => session.state === 'playing')).toHaveLength(1)
    expect(watched[0]?.end).toBeUndefined()
    stuck.close()
  })

  test('one that reads again goes on whole, at a key frame', async () => {
    const { port, publisher, watched, sessions } = await live({ limits })
    const slow = await RtmpClient.playing(port, 'main')
    await slow.until(() => slow.media().length === 4)
    slow.socket.pause()
    const dropped = () => sessions().find((session) => session.id === 2)?.droppedFrames ?? 0
    let sent = 3
    while (dropped() === 0) {
      publisher.send(9, picture(false, 500_000), 1100 + sent)
      sent += 1
      await eventually(() => watched[0]?.frames.length === sent)
    }
    publisher.send(9, picture(false), 5000)
    publisher.send(9, picture(true, 16, 9), 6000)
    publisher.send(8, SOUND, 6001)
    await eventually(() => watched[0]?.frames.length === sent + 3)
    slow.socket.resume()
    await slow.until(() => slow.media().at(-1)?.timestamp === 6001)
    const times = slow.media().map((m) => m.timestamp)
    expect(times).not.toContain(5000)
    expect(times.slice(-2)).toEqual([6000, 6001])
    expect(
      slow
        .media()
        .at(-2)
        ?.payload.equals(picture(true, 16, 9)),
    ).toBe(true)
  })
})
