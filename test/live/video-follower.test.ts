import { expect, test } from 'vitest'
import { keepInit } from '../../server/live/init-sections.ts'
import { emptyRendition, emptySegment } from '../../server/live/eviction.ts'
import { Lane } from '../../server/live/lane.ts'
import { VideoFollower } from '../../server/live/video-follower.ts'
import { LiveWindow } from '../../server/live/window.ts'
import type { WindowEvent } from '../../server/live/window-event.ts'

const OPEN = {
  kind: 'open',
  id: 'w',
  name: 'main',
  bornAt: 0,
  windowSeconds: 60,
  dvrSeconds: 60,
} as const
const CUT = {
  sequence: 1,
  atMs: 0,
  startedAt: 0,
  discontinuity: false,
  discontinuitySequence: 0,
}

test('pictures behind one that had to go are left out up to the next key frame', () => {
  const window = new LiveWindow(OPEN)
  window.apply({ kind: 'pace', partTargetSeconds: 0.2 })
  const events: WindowEvent[] = []
  const lane = new Lane(window, {
    id: 'v90',
    trackId: 1,
    timescale: 90_000,
    leading: undefined,
    emit: (event) => events.push(event),
  })
  const follower = new VideoFollower(lane)
  follower.anchor(0, 0)
  lane.cutNow(CUT)
  // The first of 1,100 pictures is a key frame, the next one comes as number 1,000; the queue holds 1,024.
  for (let i = 0; i < 1100; i++) {
    const key = i === 0 || i === 1000
    follower.take({ rawMs: i * 5, reorderMs: 0, key, data: Buffer.from([i & 255]) })
  }
  follower.advance(5600)
  follower.finish(5600)
  const parts = events.flatMap((event) => (event.kind === 'part' ? [event] : []))
  expect(parts[0]?.independent).toBe(true)
  // The very first was there already.
  expect(parts.reduce((sum, { samples }) => sum + samples, 0)).toBe(101)
})

test('a flood of settings takes no init section away that a segment needs', () => {
  const facts = {
    kind: 'video',
    codecString: 'avc1',
    width: 1,
    height: 1,
    channels: 0,
    language: '',
  } as const
  const rendition = emptyRendition('video', facts)
  keepInit(rendition, 'e/video-init-1.mp4', Buffer.alloc(1))
  const named = {
    rendition: 'video',
    sequence: 1,
    epoch: 'e',
    init: 'e/video-init-1.mp4',
    startedAt: 0,
  }
  const steady = { discontinuity: false, discontinuitySequence: 0, gapSeconds: 0 }
  rendition.segments.push(emptySegment({ kind: 'segment', ...named, ...steady }, undefined))
  for (let i = 2; i < 500; i++) keepInit(rendition, `e/video-init-${i}.mp4`, Buffer.alloc(1))
  expect(rendition.inits.has('e/video-init-1.mp4')).toBe(true)
  expect(rendition.inits.has('e/video-init-499.mp4')).toBe(true)
  expect(rendition.inits.size).toBeLessThanOrEqual(32)
})
