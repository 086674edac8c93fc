import { FlvReader } from '../formats/flv/flv-reader.ts'
import type { LiveStream } from '../stream/live-stream.ts'
import type { Publisher, StreamRegistry } from '../stream/registry.ts'

/** What a publishing session writes to. */
export interface Publishing {
  readonly stream: LiveStream
  readonly reader: FlvReader
}

/** Takes the stream `name` for this publisher, from whoever had it. */
export function openPublish(
  registry: StreamRegistry,
  name: string,
  publisher: Publisher,
  tell: { readonly onFrame: () => void; readonly onTrouble: (reason: string) => void },
): Publishing {
  const stream = registry.publish(name, publisher)
  const reader = new FlvReader({
    onTracks: (tracks) => stream.setTracks(tracks),
    onFrame: (frame) => {
      tell.onFrame()
      stream.write(frame)
    },
    onTrouble: tell.onTrouble,
  })
  return { stream, reader }
}
