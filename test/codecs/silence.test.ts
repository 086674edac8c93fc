import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { silentFrame } from '../../server/codecs/silence.ts'
import type { AudioTrack } from '../../server/codecs/track.ts'

/** ISO/IEC 14496-3 §1.6.2.1: AAC-LC at 48 kHz. */
function track(channelConfig: number, codec: AudioTrack['codec'] = 'aac'): AudioTrack {
  return {
    id: 2,
    kind: 'audio',
    codec,
    codecString: 'mp4a.40.2',
    timescale: 48_000,
    config: Uint8Array.from([0x11, 0x80 | (channelConfig << 3)]),
    language: 'und',
    channels: channelConfig,
    sampleRate: 48_000,
  }
}

/** §1.A.3.2: AAC-LC at 48 kHz in a frame of its own. */
function adts(channelConfig: number, data: Uint8Array): Buffer {
  const length = data.length + 7
  const head = [
    0xff,
    0xf1,
    0x4c | (channelConfig >> 2),
    ((channelConfig & 3) << 6) | (length >> 11),
    (length >> 3) & 0xff,
    ((length & 7) << 5) | 0x1f,
    0xfc,
  ]
  return Buffer.concat([Buffer.from(head), data])
}

const decode = (input: Buffer) => {
  const args = ['-v', 'warning', '-f', 'aac', '-i', 'pipe:0', '-f', 's16le', 'pipe:1']
  const run = promisify(execFile)('ffmpeg', args, { encoding: 'buffer', maxBuffer: 2 ** 24 })
  run.child.stdin?.end(input)
  return run
}

describe('a silent frame', () => {
  test.each([1, 2, 3, 4, 5, 6])('of %d channels of AAC decodes to zeros', async (channels) => {
    const data = silentFrame(track(channels)) ?? Buffer.alloc(0)
    const frames = Buffer.concat(Array.from({ length: 10 }, () => adts(channels, data)))
    const { stdout, stderr } = await decode(frames)
    expect(stderr.toString()).toBe('')
    expect(stdout.length).toBe(10 * 1024 * 2 * channels)
    expect(stdout.every((byte) => byte === 0)).toBe(true)
  })

  test('is the one that is known for stereo and mono', () => {
    expect(Buffer.from(silentFrame(track(2)) ?? []).toString('hex')).toMatch(/^2/)
    expect(silentFrame(track(1))?.[0]).toBe(0)
  })

  test('is not prepared for channels that a program config element tells, nor for other codecs', () => {
    expect(silentFrame(track(7))).toBeDefined()
    expect(silentFrame(track(2, 'ac3'))).toBeUndefined()
  })
})
