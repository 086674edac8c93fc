// An anchor of `edge.bench.ts`: what a socket of this runtime does with bytes that were there before.
import { createServer } from 'node:net'

const sizes = { '/1k': 1024, '/200k': 200 * 1024, '/2m': 2 * 1024 * 1024 }
const JOINED_BYTES_MAX = 16 * 1024
const answers = new Map(
  Object.entries(sizes).map(([path, size]) => {
    const head = Buffer.from(
      `HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: max-age=3600\r\nETag: "a"\r\nAge: 1\r\nContent-Length: ${size}\r\nAccept-Ranges: bytes\r\nConnection: keep-alive\r\nKeep-Alive: timeout=65\r\n\r\n`,
    )
    const body = Buffer.alloc(size, 97)
    return [path, size <= JOINED_BYTES_MAX ? [Buffer.concat([head, body])] : [head, body]]
  }),
)
createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy())
  socket.on('data', (request) => {
    const text = request.toString('latin1')
    const pieces = answers.get(text.slice(4, text.indexOf(' ', 4)))
    if (!pieces) {
      socket.destroy()
      return
    }
    if (pieces.length > 1) socket.cork()
    for (const piece of pieces) socket.write(piece)
    if (pieces.length > 1) socket.uncork()
  })
}).listen(Number(process.argv[2]), '127.0.0.1')
