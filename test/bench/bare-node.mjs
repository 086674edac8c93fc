// The anchor of `edge.bench.ts`: what node:http does when there is nothing to decide.
import { createServer } from 'node:http'

const bodies = { '/1k': 1024, '/200k': 200 * 1024, '/2m': 2 * 1024 * 1024 }
const answers = new Map(
  Object.entries(bodies).map(([path, size]) => {
    const fields = ['Content-Type', 'application/octet-stream', 'Content-Length', `${size}`]
    fields.push(
      'Cache-Control',
      'max-age=3600',
      'ETag',
      '"a"',
      'Age',
      '1',
      'Accept-Ranges',
      'bytes',
    )
    return [path, { fields, body: Buffer.alloc(size, 97) }]
  }),
)
createServer((request, response) => {
  const answer = answers.get(request.url)
  if (!answer) return response.writeHead(404).end()
  response.writeHead(200, answer.fields)
  response.end(answer.body)
}).listen(Number(process.argv[2]), '127.0.0.1')
