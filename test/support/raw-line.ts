import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface Line {
  readonly socket: Socket
  /** Sends bytes and gives the answers that come back, as many as `count`. */
  readonly ask: (bytes: string, count?: number) => Promise<readonly RawAnswer[]>
}
export interface RawAnswer {
  readonly status: string
  readonly fields: readonly string[]
  readonly body: string
}

/** A connection on which bytes are sent as they are. */
export async function openLine(port: number): Promise<Line> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  let received = ''
  let wake = () => {}
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1')
    wake()
  })
  socket.on('close', () => wake())
  return {
    socket,
    async ask(bytes, count = 1) {
      socket.write(bytes, 'latin1')
      const answers: RawAnswer[] = []
      while (answers.length < count) {
        const end = received.indexOf('\r\n\r\n')
        const head = received.slice(0, Math.max(0, end))
        const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0)
        if (end >= 0 && received.length >= end + 4 + length) {
          const [status = '', ...fields] = head.split('\r\n')
          answers.push({ status, fields, body: received.slice(end + 4, end + 4 + length) })
          received = received.slice(end + 4 + length)
        } else if (socket.destroyed) throw new Error(`closed after ${received}`)
        else await new Promise<void>((resolve) => (wake = resolve))
      }
      return answers
    },
  }
}

export const get = (path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: a.test\r\n${more}\r\n`
/** Without what is of one request. */
export const lasting = ({ status, fields, body }: RawAnswer) => ({
  status,
  body: body.replace(/"requestId":"\w+"/, ''),
  fields: fields.filter((field) => !field.startsWith('X-Nearcast-Request-Id')).toSorted(),
})
