import { readdir, rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join, relative } from 'node:path'
import type { Clock } from '../lib/clock.ts'
import { NearcastError } from '../lib/errors.ts'
import { type Random, readableToken } from '../lib/random.ts'

/** This process alone works with the data folder, until it is released or the process ends, however it ends. */
export interface DataLock {
  release(): Promise<void>
}

interface LockDeps {
  readonly random: Random
  readonly clock: Clock
}

/** `dead`: its process ended without a word. `starting`: it looks round itself, and one of the two gives way. */
type Other = 'dead' | 'starting' | { readonly heldBy: string }

const NAME = /^lock-[a-z0-9]{8}$/
const NAME_LENGTH = 8
// unix(7): 108 bytes with the zero at their end.
const PATH_BYTES_MAX = 107
const ANSWER_MS = 1000
const ANSWER_BYTES_MAX = 100
const TRIES_MAX = 40
const PAUSE_MAX_MS = 60

/**
 * Throws `data-in-use` when another process has the folder, which must be there. Undefined where no socket can be made (a path that is too
 * long, a file system without sockets): then nobody is kept out.
 *
 * A lock is a socket that its process listens on: the kernel closes it with the process, so that a killed one's is known by its refusal,
 * in another container too, where a number of a process says nothing. Whoever comes listens first and looks for others then; so of
 * two that come at once at least one sees the other. Each has a name of its own: a dead one's is removed without a race.
 */
export async function lockData(directory: string, deps: LockDeps): Promise<DataLock | undefined> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const name = `lock-${readableToken(deps.random, NAME_LENGTH)}`
    const said = { state: 'starting' }
    const server = await listenAt(join(directory, name), said)
    if (!server) return undefined
    const others = await othersIn(directory, name, deps.clock)
    if (others.length === 0) {
      said.state = `pid ${process.pid}`
      return { release: () => closed(server) }
    }
    await closed(server)
    for (const other of others) if (typeof other === 'object') throw inUse(other.heldBy)
    await deps.clock.sleep(PAUSE_MAX_MS * deps.random.fraction())
  }
  throw inUse('starting')
}

/** Answers whoever connects with what it is; removed from the folder when it is closed. */
async function listenAt(
  file: string,
  said: { readonly state: string },
): Promise<Server | undefined> {
  const path = reachable(file)
  if (path === undefined) return undefined
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.end(said.state)
  })
  server.unref()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ path }, resolve)
    })
    return server
  } catch {
    return undefined
  }
}

async function othersIn(directory: string, mine: string, clock: Clock): Promise<readonly Other[]> {
  const names = (await readdir(directory)).filter((name) => NAME.test(name) && name !== mine)
  const found = await Promise.all(
    names.map(async (name): Promise<Other> => {
      const other = await lookAt(join(directory, name), clock)
      if (other === 'dead') await rm(join(directory, name), { force: true })
      return other
    }),
  )
  return found.filter((other) => other !== 'dead')
}

function lookAt(file: string, clock: Clock): Promise<Other> {
  return new Promise((resolve) => {
    const socket = connect({ path: reachable(file) ?? file })
    let said = ''
    const found = (other: Other) => {
      late[Symbol.dispose]()
      socket.destroy()
      resolve(other)
    }
    // One that is stopped or busy is there all the same.
    const late = clock.after(ANSWER_MS, () => found({ heldBy: 'it does not answer' }))
    socket.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(0, ANSWER_BYTES_MAX)
    })
    socket.on('end', () => found(said.startsWith('pid ') ? { heldBy: said } : 'starting'))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') found('dead')
      else if (error.code === 'EACCES') found({ heldBy: 'another user' })
      else found('starting')
    })
  })
}

/** As short as it can be said; undefined when that is too long for a socket. */
function reachable(file: string): string | undefined {
  const near = relative(process.cwd(), file)
  const path = Buffer.byteLength(near) < Buffer.byteLength(file) ? near : file
  return Buffer.byteLength(path) <= PATH_BYTES_MAX ? path : undefined
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}

function inUse(by: string): NearcastError {
  return new NearcastError(
    'data-in-use',
    `a server already runs with this data folder (${by}); give this one its own: --data DIR or NEARCAST_DATA_DIR`,
  )
}
