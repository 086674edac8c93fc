import { expect, test } from 'vitest'
import { writeLivePlaylists } from '../../server/live/multivariant.ts'
import { LiveWindow } from '../../server/live/window.ts'
import type { RenditionFacts } from '../../server/live/window-event.ts'

const PICTURE: RenditionFacts = {
  kind: 'video',
  codecString: 'avc1.64001f',
  width: 1280,
  height: 720,
  channels: 0,
  language: 'und',
}
const SOUND: RenditionFacts = {
  kind: 'audio',
  codecString: 'mp4a.40.2',
  width: 0,
  height: 0,
  channels: 2,
  language: 'und',
}

function windowWith(renditions: Readonly<Record<string, RenditionFacts>>): LiveWindow {
  const window = new LiveWindow({
    kind: 'open',
    id: 'w',
    name: 'main',
    bornAt: 0,
    windowSeconds: 60,
    dvrSeconds: 60,
  })
  window.apply({ kind: 'pace', partTargetSeconds: 0.2 })
  window.apply({ kind: 'promise', targets: [1], current: 1, floor: 1 })
  for (const [rendition, facts] of Object.entries(renditions)) {
    window.apply({
      kind: 'init',
      rendition,
      uri: `e/${rendition}-init-1.mp4`,
      facts,
      bytes: Buffer.alloc(9),
    })
    addSegment(window, rendition, 0, facts.kind === 'video' ? 30 : 47)
  }
  return window
}

function addSegment(
  window: LiveWindow,
  rendition: string,
  sequence: number,
  samples: number,
): void {
  window.apply({
    kind: 'segment',
    rendition,
    sequence,
    epoch: 'e',
    init: `e/${rendition}-init-1.mp4`,
    startedAt: 1000 * sequence,
    discontinuity: false,
    discontinuitySequence: 0,
    gapSeconds: 0,
  })
  const bytes = Buffer.alloc(1000)
  const part = { index: 0, durationSeconds: 1, independent: true, samples, bytes } as const
  window.apply({ kind: 'part', rendition, sequence, ...part })
  window.apply({ kind: 'close', rendition, sequence })
}

test('a stream of several sounds alone offers them all, as one variant and its group', () => {
  const window = windowWith({
    audio: { ...SOUND, language: 'en' },
    audio2: { ...SOUND, language: 'de' },
  })
  const text = writeLivePlaylists(window, 'main')
  expect(text.match(/#EXT-X-STREAM-INF/g)).toHaveLength(1)
  expect(text).toMatch(/NAME="en",LANGUAGE="en",DEFAULT=YES.*URI="audio-t1\.m3u8"/)
  expect(text).toMatch(/NAME="de",LANGUAGE="de",DEFAULT=NO.*URI="audio2-t1\.m3u8"/)
  expect(text).toMatch(/CODECS="mp4a\.40\.2",AUDIO="audio"\naudio-t1\.m3u8\n$/)
})

test('VIDEO-RANGE is said of a picture whose range is known, and of no other (§4.4.6.2)', () => {
  const window = windowWith({
    video: { ...PICTURE, videoRange: 'HLG' },
    video2: PICTURE,
    audio: SOUND,
  })
  const ranges = writeLivePlaylists(window, 'main').match(/(?<=#EXT-X-STREAM-INF).*/g)
  expect(ranges?.map((line) => /VIDEO-RANGE=(\w+)/.exec(line)?.[1])).toEqual(['HLG', undefined])
})

test('no two sounds of a group have one NAME, known language or not (§4.4.6.1.1)', () => {
  const sounds = {
    audio: SOUND,
    audio2: SOUND,
    audio3: { ...SOUND, language: 'de' },
    audio4: { ...SOUND, language: 'de' },
  }
  const text = writeLivePlaylists(windowWith({ video: PICTURE, ...sounds }), 'main')
  const names = [...text.matchAll(/NAME="([^"]*)"/g)].map(([, name]) => name)
  expect(names).toEqual(['Audio', 'Audio 2', 'de', 'de 2'])
})

test('CODECS names each codec once, BANDWIDTH counts one sound: the largest (§4.4.6.2)', () => {
  const text = writeLivePlaylists(
    windowWith({ video: PICTURE, audio: SOUND, audio2: SOUND }),
    'main',
  )
  expect(text).toContain('CODECS="avc1.64001f,mp4a.40.2"')
  expect(text).toContain('BANDWIDTH=16000,AVERAGE-BANDWIDTH=16000,')
})

test('segments that memory has let go of say nothing about the frame rate', () => {
  const archived = new LiveWindow({
    kind: 'open',
    id: 'w',
    name: 'main',
    bornAt: 0,
    windowSeconds: 60,
    dvrSeconds: 60,
  })
  archived.apply({ kind: 'pace', partTargetSeconds: 0.2 })
  archived.apply({ kind: 'promise', targets: [1], current: 1, floor: 1 })
  const uri = 'e/video-init-1.mp4'
  archived.apply({ kind: 'init', rendition: 'video', uri, facts: PICTURE, bytes: Buffer.alloc(9) })
  for (let sequence = 0; sequence < 9; sequence++)
    archived.apply({
      kind: 'archived',
      rendition: 'video',
      sequence,
      epoch: 'e',
      init: uri,
      startedAt: 1000 * sequence,
      discontinuity: false,
      discontinuitySequence: 0,
      durationSeconds: 1,
      byteLength: 1000,
      place: 'rewind/main/1/',
    })
  addSegment(archived, 'video', 9, 30)
  expect(writeLivePlaylists(archived, 'main')).toContain('FRAME-RATE=30.000')
})
