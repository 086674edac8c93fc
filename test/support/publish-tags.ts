import { systemClock } from '../../server/lib/clock.ts'
import type { Tag } from './enhanced-media.ts'
import { RtmpClient } from './rtmp-client.ts'

export interface TagsPublisher {
  /** A data message at the time of the stream. */
  say(payload: Buffer): void
  stop(): void
}

const TICK_MS = 10

/** Publishes these tags in their own time, headers first, then from their beginning again each `loopMs`, until stopped. */
export async function publishTags(
  port: number,
  key: string,
  tags: readonly Tag[],
  loopMs: number,
): Promise<TagsPublisher> {
  const client = await RtmpClient.publishing(port, key)
  const headers = tags.filter(isHeader)
  const frames = tags.filter((tag) => !isHeader(tag))
  for (const { type, body } of headers) client.send(type, body)
  const began = systemClock.monotonic()
  let next = 0
  let sentMs = 0
  const timer = systemClock.every(TICK_MS, () => {
    const now = systemClock.monotonic() - began
    for (;;) {
      const frame = frames[next % frames.length]
      const at = (frame?.timestamp ?? 0) + loopMs * Math.floor(next / frames.length)
      if (!frame || at > now) return
      client.send(frame.type, frame.body, at)
      sentMs = at
      next += 1
    }
  })
  return {
    say: (payload) => client.send(18, payload, sentMs),
    stop: () => {
      timer[Symbol.dispose]()
      client.close()
    },
  }
}

/** Enhanced RTMP v2: SequenceStart, of a multitrack message too; the legacy kinds of AVC and AAC. */
function isHeader({ type, body }: Tag): boolean {
  const [first = 0, second = 0] = body
  const packet = first & 15
  if (type === 9 && first < 0x80) return second === 0
  if (type === 8 && first >> 4 !== 9) return second === 0
  return ((type === 9 ? packet === 6 : packet === 5) ? second & 15 : packet) === 0
}
