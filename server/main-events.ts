import type { EventFeed } from './control/event-feed.ts'
import type { Clock } from './lib/clock.ts'
import type { RecordingEvent } from './live/archives.ts'
import type { HealthWatch } from './live/health.ts'
import type { LiveStream } from './stream/live-stream.ts'
import type { StreamRegistry } from './stream/registry.ts'

const HEALTH_MS = 2000

/** Tells the feed of publishers that come and go, and of streams whose condition changes. */
export function tellEvents(
  feed: EventFeed,
  deps: { readonly registry: StreamRegistry; readonly health: HealthWatch; readonly clock: Clock },
): Disposable {
  const { registry, health, clock } = deps
  // One that stands by goes on and off the air; it was published once.
  const known = new WeakSet<LiveStream>()
  const observing = registry.observe((stream) => {
    if (known.has(stream)) return
    known.add(stream)
    const { name, epoch } = stream
    const publish = registry.list().find((one) => one.stream === stream)
    feed.tell({
      kind: 'publish',
      stream: name,
      epoch,
      publisher: publish?.publisher.description,
      backup: publish?.publisher.backup ?? false,
    })
    stream.addReader(
      {
        onTracks: () => {},
        onFrame: () => {},
        onEnd: (reason) => feed.tell({ kind: 'unpublish', stream: name, epoch, reason }),
      },
      'now',
    )
  })
  const said = new Map<string, string>()
  const timer = clock.every(HEALTH_MS, () => {
    const all = health.all()
    for (const name of said.keys()) if (!all.has(name)) said.delete(name)
    for (const [stream, { condition, advice }] of all) {
      const codes = [condition, ...advice.map(({ code }) => code)].join(' ')
      if ((said.get(stream) ?? 'good') !== codes)
        feed.tell({ kind: 'health', stream, condition, advice })
      said.set(stream, codes)
    }
  })
  return {
    [Symbol.dispose]: () => {
      observing[Symbol.dispose]()
      timer[Symbol.dispose]()
    },
  }
}

/** A recording's news as the feed has it. */
export function tellRecording(feed: EventFeed, event: RecordingEvent): void {
  const { kind, stream, key, reason } = event
  if (kind === 'record-failed')
    feed.tell({ kind: 'error', stream, code: 'record-failed', recording: key, reason })
  else feed.tell({ kind, stream, recording: key })
}
