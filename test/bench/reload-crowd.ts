import { connect } from 'node:net'
import { systemClock } from '../../server/lib/clock.ts'

// Low-latency viewers as a process of their own: `reload-crowd.ts PORT PATH COUNT SECONDS`. Each holds one connection and always one
// blocked reload: of the next part, of the next part as a delta, of the next segment. Prints when each answer came, as JSON.
const [port = '', path = '', count = '', seconds = ''] = process.argv.slice(2)
const KINDS = ['part', 'delta', 'segment', 'delta'] as const
const HINT = /-(\d+)\.(\d+)\.m4s"\r?\n(?:#EXT-X-RENDITION-REPORT[^\n]*\n)*$/

/** By part, as `SEGMENT.PART`: milliseconds since 1970 at which each viewer had it. */
const came = new Map<string, number[]>()
const wrong = new Map<string, number>()
let over = false

const viewers = Array.from({ length: Number(count) }, (_, n) => view(KINDS[n % KINDS.length]))
await systemClock.sleep(Number(seconds) * 1000)
over = true
for (const viewer of viewers) viewer.destroy()
process.stdout.write(JSON.stringify({ parts: Object.fromEntries(came), wrong: [...wrong] }))

function view(kind: (typeof KINDS)[number] | undefined) {
  const socket = connect(Number(port), '127.0.0.1')
  socket.setNoDelay(true)
  let text = ''
  let query = ''
  const ask = () =>
    socket.write(
      `GET ${path}${query} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUser-Agent: crowd\r\n\r\n`,
    )
  const note = (what: string) => {
    if (!over) wrong.set(what, (wrong.get(what) ?? 0) + 1)
  }
  socket.on('connect', ask)
  socket.on('error', (error) => note(error.message))
  socket.on('close', () => note('closed'))
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    const body = text.indexOf('\r\n\r\n') + 4
    if (body < 4) return
    const length = Number(/content-length: (\d+)/i.exec(text.slice(0, body))?.[1] ?? 0)
    if (text.length < body + length) return
    const status = text.slice(9, 12)
    const hint = HINT.exec(text)
    text = ''
    if (!hint || status !== '200') {
      note(`${status} without a hint`)
      return
    }
    const [, segment = '', part = ''] = hint
    // What is listed last is the part before the one that is hinted at.
    const times = came.get(`${segment}.${part}`) ?? []
    if (query !== '') came.set(`${segment}.${part}`, times)
    times.push(systemClock.now())
    const next = kind === 'segment' ? '' : `&_HLS_part=${part}`
    query = `?_HLS_msn=${segment}${next}${kind === 'delta' ? '&_HLS_skip=YES' : ''}`
    ask()
  })
  return socket
}
