import { execFile, spawn } from 'node:child_process'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectPlain } from 'node:net'
import { connect } from 'node:tls'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually, KEY, startTestListener } from './start-listener.ts'

const run = promisify(execFile)

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-rtmps-'))
  await Promise.all(['first', 'second'].map(makeCertificate))
  await take('first')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const file = (name: string) => join(folder, name)

async function makeCertificate(name: string): Promise<void> {
  const subject = ['-subj', `/CN=${name}.test`, '-days', '2', '-nodes']
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  const out = ['-keyout', file(`${name}.key`), '-out', file(`${name}.pem`)]
  await run('openssl', ['req', '-x509', ...key, ...subject, ...out])
}

/** Puts a certificate where the listener reads it. */
async function take(name: string): Promise<void> {
  await copyFile(file(`${name}.key`), file('used.key'))
  await copyFile(file(`${name}.pem`), file('used.pem'))
}

const listening = (clock?: FakeClock) =>
  startTestListener({
    rtmps: { host: '127.0.0.1', port: 0, cert: file('used.pem'), key: file('used.key') },
    ...(clock && { clock }),
  })

/** Whose certificate a client is shown. */
async function nameAt(port: number | undefined): Promise<string | undefined> {
  const socket = connect({ host: '127.0.0.1', port: port ?? 0, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const { subject } = socket.getPeerCertificate()
  socket.destroy()
  return typeof subject.CN === 'string' ? subject.CN : undefined
}

test('ffmpeg publishes over RTMPS, and plays over it from a key frame', async () => {
  const server = await listening()
  const url = `rtmps://127.0.0.1:${server.tlsPort}/live`
  const publisher = spawn('ffmpeg', [
    ...'-nostdin -v error -re -f lavfi -i testsrc2=s=320x180:r=30 -c:v libx264'.split(' '),
    ...'-preset ultrafast -g 30 -pix_fmt yuv420p -f flv'.split(' '),
    `${url}/${KEY}`,
  ])
  await eventually(() => (server.watched[0]?.frames.length ?? 0) > 40)
  const { stdout } = await run('ffprobe', [
    ...'-v error -show_entries packet=flags -of csv=p=0 -read_intervals %+#5'.split(' '),
    `${url}/main`,
  ])
  expect(stdout.split('\n')[0]).toContain('K')
  expect(server.sessions().map(({ state }) => state)).toContain('publishing')
  publisher.kill('SIGKILL')
  await server.close()
})

test('a changed certificate is shown without a restart, and a broken one is not taken', async () => {
  const clock = new FakeClock()
  const server = await listening(clock)
  expect(await nameAt(server.tlsPort)).toBe('first.test')
  await writeFile(file('used.pem'), 'no certificate')
  await clock.advance(10_000)
  await eventually(() => server.lines.some(({ text }) => text.includes('the former one stays')))
  expect(await nameAt(server.tlsPort)).toBe('first.test')
  await take('second')
  await clock.advance(10_000)
  await eventually(() => server.lines.some(({ text }) => text.includes('was read anew')))
  expect(await nameAt(server.tlsPort)).toBe('second.test')
  await server.close()
  await take('first')
})

test('what speaks no TLS is cut, and the others are served', async () => {
  const server = await listening()
  const socket = connectPlain(server.tlsPort ?? 0, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  socket.write(Buffer.alloc(1537, 3))
  await once(socket, 'close')
  expect(await nameAt(server.tlsPort)).toBe('first.test')
  await server.close()
})

test('a start with a certificate that is missing says which setting is wrong', async () => {
  const missing = { host: '127.0.0.1', port: 0, cert: file('none.pem'), key: file('used.key') }
  await expect(startTestListener({ rtmps: missing })).rejects.toThrow(/^config-invalid: rtmps.cert/)
})
