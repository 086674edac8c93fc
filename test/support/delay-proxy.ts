import { connect, createServer, type Socket } from 'node:net'
import { Transform } from 'node:stream'

export interface DelayProxy {
  readonly port: number
  /** Connections that are open now. */
  readonly connections: number
  close(): Promise<void>
}

/** A wire of some length: TCP to `port` on this machine, every byte `oneWayMs` late in each direction. */
export async function startDelayProxy(port: number, oneWayMs: number): Promise<DelayProxy> {
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
        other.destroy()
      })
      one.pipe(late(oneWayMs)).pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get connections() {
      return sockets.size / 2
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
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
