import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Socket } from 'node:net'

export interface CountingProxy {
  readonly port: number
  /** Request lines that have passed, with their ranges, since `restart`. */
  readonly reads: readonly string[]
  restart(): void
  close(): Promise<void>
}

/** TCP to `port` on this machine; notes every GET and HEAD that passes. Bytes go through as they are, so that signatures hold. */
export async function startCountingProxy(port: number): Promise<CountingProxy> {
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
        other.destroy()
      })
    }
    near.on('data', (chunk: Buffer) => {
      // A client that sends its next request after an answer, and heads that fit a packet: each begins a chunk.
      const head = chunk.toString('latin1')
      const line = /^(?:GET|HEAD) \S+/.exec(head)?.[0]
      const range = /^range: *(\S+)/im.exec(head)?.[1]
      if (line !== undefined) reads.push(`${line} ${range ?? 'whole'}`)
    })
    near.pipe(far)
    far.pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    // It listens on TCP, so this is no path.
    port: (server.address() as AddressInfo).port,
    reads,
    restart: () => void reads.splice(0),
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
}
