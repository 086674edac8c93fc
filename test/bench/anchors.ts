import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
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
function spawnPinned(command: string, args: readonly string[]): ChildProcess {
  return spawn('taskset', ['-c', SERVER_CORE, command, ...args], { stdio: 'ignore' })
}

/** Puts a running process and its threads on one core. */
export function pin(pid: number, core = SERVER_CORE): void {
  execFileSync('taskset', ['-a', '-p', '-c', core, String(pid)], { stdio: 'ignore' })
}

export function has(command: string): boolean {
  return ['/usr/sbin', '/usr/bin', '/usr/local/bin'].some((folder) =>
    existsSync(join(folder, command)),
  )
}

/** nginx 1.22 proxy_cache, access log on. Without sendfile it copies what it sends, as everybody else here does. */
export async function startNginx(
  folder: string,
  origin: number,
  sendfile: 'on' | 'off',
): Promise<Anchor> {
  const port = await freePort()
  const name = sendfile === 'on' ? 'nginx' : 'nginx, no sendfile'
  const home = join(folder, `nginx-sendfile-${sendfile}`)
  mkdirSync(home, { recursive: true })
  const at = (file: string) => join(home, file)
  writeFileSync(
    at('nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root; ' : ''}daemon off; worker_processes 1; pid ${at('pid')}; error_log ${at('error.log')};
events { worker_connections 1024; }
http {
  access_log ${at('access.log')};
  sendfile ${sendfile}; tcp_nopush off; keepalive_requests 100000000;
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
  return running(name, port, child)
}

/** Varnish 7 in memory; its log is in shared memory, always on. */
export async function startVarnish(folder: string, origin: number): Promise<Anchor> {
  const port = await freePort()
  const args = ['-F', '-a', `127.0.0.1:${port}`, '-b', `127.0.0.1:${origin}`]
  args.push('-s', 'malloc,256m', '-n', join(folder, 'varnish'), '-p', 'thread_pool_min=40')
  const process = spawnPinned('varnishd', args)
  return running('varnish', port, process)
}

/** Apache Traffic Server 9: everything in its memory tier, log on, one thread for viewers. */
export async function startTrafficServer(folder: string, origin: number): Promise<Anchor> {
  const port = await freePort()
  const home = join(folder, 'trafficserver')
  for (const part of ['etc', 'log', 'cache', 'run'])
    mkdirSync(join(home, part), { recursive: true })
  const system = '/etc/trafficserver'
  for (const file of readdirSync(system).filter((name) => /\.(yaml|config)$/.test(name)))
    copyFileSync(join(system, file), join(home, 'etc', file))
  const write = (file: string, text: string) => writeFileSync(join(home, file), text)
  const records = [
    'exec_thread.autoconfig INT 0',
    'exec_thread.limit INT 1',
    'exec_thread.affinity INT 0',
    `http.server_ports STRING ${port}:ip-in=127.0.0.1`,
    `cache.ram_cache.size INT ${256 * 1024 * 1024}`,
    `cache.ram_cache_cutoff INT ${16 * 1024 * 1024}`,
    'log.logging_enabled INT 3',
    'crash_log_helper STRING NULL',
    'admin.user_id STRING #-1',
  ]
  write('etc/records.config', records.map((line) => `CONFIG proxy.config.${line}\n`).join(''))
  write('etc/remap.config', `map / http://127.0.0.1:${origin}/\n`)
  write('etc/storage.config', `${join(home, 'cache')} 256M\n`)
  write(
    'etc/logging.yaml',
    `logging:
  formats: [{ name: access, format: '%<cqtq> %<ttms> %<chi> %<crc>/%<pssc> %<psql> %<cqhm> %<cquc>' }]
  logs: [{ filename: access, format: access, mode: ascii }]
`,
  )
  const places = {
    prefix: '/usr',
    exec_prefix: '/usr',
    bindir: '/usr/bin',
    sbindir: '/usr/bin',
    libdir: '/usr/lib/trafficserver',
    libexecdir: '/usr/lib/trafficserver/modules',
    includedir: '/usr/include',
    sysconfdir: join(home, 'etc'),
    datadir: join(home, 'cache'),
    cachedir: join(home, 'cache'),
    localstatedir: join(home, 'run'),
    runtimedir: join(home, 'run'),
    logdir: join(home, 'log'),
  }
  write(
    'runroot.yaml',
    Object.entries(places)
      .map(([place, path]) => `${place}: ${path}\n`)
      .join(''),
  )
  const child = spawnPinned('traffic_server', [`--run-root=${join(home, 'runroot.yaml')}`])
  return running('trafficserver', port, child)
}

/** A node:http handler that knows no cache and answers from memory, its headers as one flat array. */
export function startBareNode(): Promise<Anchor> {
  return startScript('bare node:http', 'bare-node.mjs')
}

/** A node:net socket that writes prepared bytes whatever is asked in the first line: no HTTP, the limit of this runtime. */
export function startBareSocket(): Promise<Anchor> {
  return startScript('bare socket', 'bare-socket.mjs')
}

async function startScript(name: string, file: string): Promise<Anchor> {
  const port = await freePort()
  const script = fileURLToPath(new URL(file, import.meta.url))
  return running(name, port, spawnPinned('node', [script, String(port)]))
}

/**
 * Gives a server and its descendants real-time priority for as long as it is measured, or takes it away: whatever else wants the cores
 * waits for that second, and does not push the server's code and data out of their caches. Without the right to do so nothing happens.
 */
export function prioritize(pid: number, on: boolean): void {
  const priority = on ? ['-r', '-p', '1'] : ['-o', '-p', '0']
  for (const one of withDescendants(pid))
    spawnSync('chrt', ['-a', ...priority, String(one)], { stdio: 'ignore' })
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
