import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A server of the field beside ours: cache in front of the same origin, on the same core. */
export interface Anchor {
  readonly name: string
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

/** The core the servers get; the load comes from another. */
const SERVER_CORE = '0'

/** Runs a command on the servers' core. */
export function spawnPinned(command: string, args: readonly string[], cwd?: string): ChildProcess {
  return spawn('taskset', ['-c', SERVER_CORE, command, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    ...(cwd === undefined ? {} : { cwd }),
  })
}

/** Puts a running process and its threads on the servers' core. */
export function pin(pid: number): void {
  execFileSync('taskset', ['-a', '-p', '-c', SERVER_CORE, String(pid)], { stdio: 'ignore' })
}

export function has(command: string): boolean {
  return ['/usr/sbin', '/usr/bin', '/usr/local/bin'].some((folder) =>
    existsSync(join(folder, command)),
  )
}

/** nginx 1.22 proxy_cache: sendfile, access log on. */
export async function startNginx(folder: string, origin: number): Promise<Anchor> {
  const port = await freePort()
  mkdirSync(join(folder, 'nginx'), { recursive: true })
  const at = (name: string) => join(folder, 'nginx', name)
  writeFileSync(
    at('nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root; ' : ''}daemon off; worker_processes 1; pid ${at('pid')}; error_log ${at('error.log')};
events { worker_connections 1024; }
http {
  access_log ${at('access.log')};
  sendfile on; tcp_nopush off; keepalive_requests 100000000;
  client_body_temp_path ${at('body')}; proxy_temp_path ${at('proxy')}; fastcgi_temp_path ${at('fastcgi')};
  uwsgi_temp_path ${at('uwsgi')}; scgi_temp_path ${at('scgi')};
  proxy_cache_path ${at('cache')} keys_zone=c:10m max_size=1g;
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://127.0.0.1:${origin}; proxy_cache c; proxy_cache_valid 200 1h; }
  }
}
`,
  )
  const child = spawnPinned('nginx', ['-c', at('nginx.conf'), '-e', at('error.log')])
  return running('nginx', port, child)
}

/** Varnish 7 in memory; its log is in shared memory, always on. */
export async function startVarnish(folder: string, origin: number): Promise<Anchor> {
  const port = await freePort()
  const args = ['-F', '-a', `127.0.0.1:${port}`, '-b', `127.0.0.1:${origin}`]
  args.push('-s', 'malloc,256m', '-n', join(folder, 'varnish'), '-p', 'thread_pool_min=40')
  const process = spawnPinned('varnishd', args)
  return running('varnish', port, process)
}

/** A node:http handler that knows no cache and answers from memory, its headers as one flat array. */
export async function startBareNode(): Promise<Anchor> {
  const port = await freePort()
  const script = fileURLToPath(new URL('bare-node.mjs', import.meta.url))
  const process = spawnPinned('node', [script, String(port)])
  return running('bare node:http', port, process)
}

/** User and system seconds of a process and all its descendants. */
export function cpuSeconds(pid: number): number {
  let ticks = 0
  for (const one of withDescendants(pid)) {
    const stat = readFileSync(`/proc/${one}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / 100
}

function withDescendants(pid: number): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
  const ids = children.split(' ').filter(Boolean).map(Number)
  return [pid, ...ids.flatMap(withDescendants)]
}

async function running(name: string, port: number, process: ChildProcess): Promise<Anchor> {
  for (let tries = 0; ; tries += 1) {
    if (process.exitCode !== null) throw new Error(`${name} ended with ${process.exitCode}`)
    const answered = await fetch(`http://127.0.0.1:${port}/1k`)
      .then(async (response) => (await response.arrayBuffer(), response.ok))
      .catch(() => false)
    if (answered) break
    if (tries > 100) {
      process.kill('SIGKILL')
      throw new Error(`${name} does not answer`)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return {
    name,
    port,
    pid: process.pid ?? 0,
    async stop() {
      const ended = once(process, 'exit')
      process.kill('SIGTERM')
      await ended
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
