import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hasCode } from '../../server/lib/errors.ts'
import { LiveWindow } from '../../server/live/window.ts'
import { readTail, writeTailEvent, writeTailHead } from '../../server/live/tail.ts'
import type { WindowEvent } from '../../server/live/window-event.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'
import { makeLiveMedia } from '../support/live-media.ts'
import { ask, LiveFixture } from './live-fixture.ts'

const MEDIA = await makeLiveMedia({ seconds: 6, gop: 30, size: '160x90' })

async function running(): Promise<LiveFixture> {
  const live = await LiveFixture.open()
  await live.publish().send(MEDIA, 0, 5000)
  return live
}

async function tailBytes(live: LiveFixture): Promise<Buffer> {
  live.packager.end('main')
  const chunks: Uint8Array[] = []
  for await (const chunk of live.packager.tail('main', new AbortController().signal) ?? [])
    chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Applies a tail as a replica does; every failure is one that is expected of a broken parent. */
async function readInto(bytes: Iterable<Uint8Array>): Promise<void> {
  let window: LiveWindow | undefined
  try {
    for await (const event of readTail(bytes)) {
      if (event.kind === 'open') window = new LiveWindow(event)
      else window?.apply(event)
    }
  } catch (error) {
    if (!hasCode(error, 'origin-failed')) throw error
  }
}

test('a tail with broken bytes is refused, and nothing else happens', async () => {
  const tail = await tailBytes(await running())
  const place = fc.nat(Math.min(tail.length - 1, 6000))
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 8 }),
      fc.nat(tail.length),
      fc.integer({ min: 1, max: 100_000 }),
      async (changes, length, chunk) => {
        const bytes = Buffer.from(tail)
        for (const [at, value] of changes) bytes[at] = value
        const pieces: Buffer[] = []
        for (let at = 0; at < length; at += chunk) pieces.push(bytes.subarray(at, at + chunk))
        await readInto(pieces)
      },
    ),
    { numRuns: Math.ceil(FUZZ_RUNS / 3) },
  )
})

test('media that is named before it comes may be anything, and the window stays within its bytes', async () => {
  const part = fc.tuple(
    fc.double({ min: 0, max: 10, noNaN: true }),
    fc.boolean(),
    fc.nat(100),
    fc.oneof(fc.nat(20), fc.nat(2 ** 25)),
  )
  const sequence = fc.nat(12)
  const event: fc.Arbitrary<WindowEvent> = fc.oneof(
    fc.record({
      kind: fc.constant('past' as const),
      rendition: fc.constant('video'),
      sequence,
      epoch: fc.constant('e'),
      init: fc.constant('e/video-init.mp4'),
      startedAt: fc.nat(),
      discontinuity: fc.boolean(),
      discontinuitySequence: fc.nat(),
      parts: fc.array(part, { maxLength: 5 }),
    }),
    fc.record({
      kind: fc.constant('fill' as const),
      rendition: fc.constant('video'),
      sequence,
      index: fc.nat(6),
      bytes: fc.uint8Array({ maxLength: 20 }),
    }),
    fc.record({
      kind: fc.constant('close' as const),
      rendition: fc.constant('video'),
      sequence,
    }),
  )
  const facts = { kind: 'video', codecString: 'avc1', width: 1, height: 1, channels: 0 } as const
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
      const limits = { bytes: 1000 }
      const window = new LiveWindow(
        { kind: 'open', id: 'w', name: 'main', bornAt: 0, windowSeconds: 60, dvrSeconds: 60 },
        limits,
      )
      window.apply({
        kind: 'init',
        rendition: 'video',
        uri: 'e/video-init.mp4',
        facts: { ...facts, language: '' },
        bytes: new Uint8Array(1),
      })
      try {
        const sent = [writeTailHead(), ...events.flatMap(writeTailEvent)]
        for await (const one of readTail(sent)) window.apply(one)
      } catch (error) {
        if (!hasCode(error, 'origin-failed')) throw error
      }
      const segments = window.rendition('video')?.segments ?? []
      // The newest segment alone may be larger than the bound.
      if (segments.length > 1) expect(window.byteLength).toBeLessThanOrEqual(limits.bytes)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('no bytes at all make the tail reader fail in another way', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 400 })), async (chunks) => {
      await readInto([writeTailHead(), ...chunks])
      await readInto(chunks)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('events in any order are applied or refused', async () => {
  const live = await running()
  const events: WindowEvent[] = []
  for await (const event of readTail([await tailBytes(live)])) events.push(event)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...events), { maxLength: 60 }), async (some) => {
      const [open] = events
      await readInto([
        writeTailHead(),
        ...(open ? writeTailEvent(open) : []),
        ...some.flatMap(writeTailEvent),
      ])
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('no address, query or header makes the origin do more than answer', async () => {
  const live = await running()
  const path = fc.oneof(
    fc.constantFrom(
      '/live/main/index.m3u8',
      '/live/main/video-t12.m3u8',
      '/live/main/x/video-1.0.m4s',
    ),
    fc.string().map((text) => `/live/${text}`),
    fc.webPath(),
  )
  const number = fc.oneof(
    fc.nat(12).map(String),
    fc.string(),
    fc.constant('1e9'),
    fc.bigInt().map(String),
  )
  const query = fc.record({ msn: number, part: fc.option(number), skip: fc.option(fc.string()) })
  await fc.assert(
    fc.asyncProperty(path, query, fc.string(), async (where, { msn, part, skip }, encoding) => {
      const leaving = new AbortController()
      const parameters = `_HLS_msn=${msn}${part === null ? '' : `&_HLS_part=${part}`}&_HLS_skip=${skip}`
      const headers = { 'accept-encoding': encoding }
      const { origin } = live.packager
      const asked = ask(
        origin,
        `${where.replaceAll('?', '')}?${parameters}`,
        headers,
        leaving.signal,
      )
      const answer = asked.catch((error: unknown) => error)
      setImmediate(() => leaving.abort(new Error('left')))
      const result = await answer
      if (result instanceof Error) expect(result.message).toBe('left')
      else expect([200, 400, 404]).toContain((result as { status: number }).status)
    }),
    { numRuns: FUZZ_RUNS },
  )
})

test('no times of frames make the segmenter stop, or make segments without end', async () => {
  const time = fc.oneof(
    fc.nat(10_000),
    fc.integer({ min: -5000, max: 5000 }),
    fc.maxSafeInteger().map((value) => Math.trunc(value / 2 ** 20)),
  )
  const frame = fc.record({
    trackId: fc.constantFrom(1, 2, 3),
    dts: time,
    offset: fc.oneof(fc.nat(100), fc.integer()),
    key: fc.boolean(),
    size: fc.constantFrom(0, 1, 200, 3000),
    later: fc.nat(400),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 120 }), async (frames) => {
      const live = await LiveFixture.open()
      const publisher = live.publish()
      publisher.stream.setTracks(MEDIA.tracks)
      for (const { trackId, dts, offset, key, size, later } of frames) {
        await live.clock.advance(later)
        publisher.write({ trackId, dts, pts: dts + offset, key, data: new Uint8Array(size) })
      }
      publisher.end()
      const [stream] = live.packager.describe()
      const segments = stream?.renditions.map((rendition) => rendition.segments) ?? []
      for (const count of segments) expect(count).toBeLessThanOrEqual(2 * frames.length + 2)
      expect(new Set(segments).size).toBeLessThanOrEqual(1)
      live.packager.close()
    }),
    { numRuns: FUZZ_RUNS },
  )
})
