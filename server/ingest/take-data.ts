import type { RtmpMessage } from '../rtmp/messages.ts'
import { readData } from '../rtmp/read-data.ts'
import type { Publishing } from './open-publish.ts'

/** What a publisher's data message says goes to its stream; throws `bad-request` or `limit-exceeded`. */
export function takeData({ stream, reader }: Publishing, message: RtmpMessage): void {
  const data = readData(message)
  if (data?.kind === 'timed') {
    stream.writeData({
      name: data.name,
      values: data.values,
      atMs: reader.timeOf(message.timestamp),
    })
  } else if (data) {
    const video = 'videocodecid' in data.metadata
    const audio = 'audiocodecid' in data.metadata
    if (video || audio) reader.expect({ video, audio })
    stream.setMetadata(data.metadata)
  }
}
