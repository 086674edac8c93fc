import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { Transform } from 'node:stream'

export interface DelayProxy {
  readonly port: number
  /** Connections that are open now. */
  readonly connections: number
  /** The GET and HEAD requests that have passed since `restart`: method, target and range. */
  readonly reads: readonly string[]
  restart(): void
  close(): Promise<void>
}

/**
 * A wire of some length: TCP to `port` on this machine, every byte `oneWayMs` late in each direction, and as it is, so that
 * signatures hold.
 */
export async function startDelayProxy(port: number, oneWayMs: number): Promise<DelayProxy> {
  const reads: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.setNoDelay(true)
      one.on('error', () => other.destroy())
      one.once('close', () => {
        sockets.delete(one)
        // What came before a regular end is still under way.
        if (!one.readableEnded) other.destroy()
      })
      one.pipe(late(oneWayMs)).pipe(other)
    }
    near.on('data', (chunk: Buffer) => {
      const read = readIn(chunk)
      if (read !== undefined) reads.push(read)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    // It listens on TCP, so this is no path.
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.size / 2
    },
    reads,
    restart: () => void reads.splice(0),
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

// A client that sends its next request after an answer, and heads that fit a packet: each begins a chunk.
function readIn(chunk: Buffer): string | undefined {
  const head = chunk.toString('latin1', 0, 8192)
  const line = /^(?:GET|HEAD) \S+/.exec(head)?.[0]
  return line && `${line} ${/^range: *(\S+)/im.exec(head)?.[1] ?? 'whole'}`
}

// Length, not width: bytes follow each other at full speed, so a chunk is passed on at once and only shown later.
function late(ms: number): Transform {
  let underWay = 0
  let arrived = () => {}
  return new Transform({
    highWaterMark: 8 * 1024 * 1024,
    transform(chunk: Buffer, _encoding, done) {
      underWay++
      setTimeout(() => {
        if (!this.destroyed) this.push(chunk)
        underWay--
        if (underWay === 0) arrived()
      }, ms)
      done()
    },
    flush(done) {
      if (underWay === 0) done()
      else arrived = done
    },
  })
}
