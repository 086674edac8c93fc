import { expect, test } from 'vitest'
import { answerLive } from '../../server/live/answer.ts'
import { LiveWindow } from '../../server/live/window.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { ask } from './live-fixture.ts'

const SOUND = {
  kind: 'audio',
  codecString: 'mp4a.40.2',
  width: 0,
  height: 0,
  channels: 2,
  language: 'und',
} as const

test('HEAD of what left memory opens nothing that it leaves open', async () => {
  const window = new LiveWindow({
    kind: 'open',
    id: 'w',
    name: 'main',
    bornAt: 0,
    windowSeconds: 60,
    dvrSeconds: 60,
  })
  const init = 'e/audio-init-1.mp4'
  window.apply({
    kind: 'init',
    rendition: 'audio',
    uri: init,
    facts: SOUND,
    bytes: Buffer.alloc(1),
  })
  window.apply({
    kind: 'archived',
    rendition: 'audio',
    sequence: 1,
    epoch: 'e',
    init,
    startedAt: 0,
    discontinuity: false,
    discontinuitySequence: 0,
    durationSeconds: 1,
    byteLength: 5,
    place: 'recordings/main/1/',
  })
  const signals: AbortSignal[] = []
  const origin = {
    id: 'live',
    caching: 'none',
    ranges: false,
    keyQuery: [],
    fetch: (request: Parameters<typeof answerLive>[1]) =>
      answerLive(
        {
          find: () => window,
          clock: new FakeClock(),
          readStored: async (_place, _uri, signal) => {
            signals.push(signal)
            return { length: 5, body: [Buffer.from('media')] }
          },
        },
        request,
      ),
  } as const
  const path = '/live/main/e/audio-1.m4s'
  const never = new AbortController().signal
  const head = await ask(origin, path, {}, never, 'HEAD')
  expect(head).toMatchObject({ status: 200, text: '' })
  expect(head.headers['content-length']).toBe('5')
  expect((await ask(origin, path)).text).toBe('media')
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
})
