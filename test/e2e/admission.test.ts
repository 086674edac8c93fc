import { createServer } from 'node:http'
import { expect, it } from 'vitest'
import { signHook } from '../../server/lib/sign-hook.ts'
import { listen } from '../../server/lib/listen.ts'
import { RtmpClient } from '../support/rtmp-client.ts'
import { startServer } from '../support/server.ts'

const SECRET = 'a-secret-of-the-receiver'

it('a whole server asks the configured address, and a publisher begins when that admits it', async () => {
  const words: { body: string; signature: unknown }[] = []
  let status = 403
  const receiver = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      words.push({ body, signature: request.headers['nearcast-signature'] })
      response.writeHead(status).end('{"message":"Not on Mondays."}')
    })
  })
  const port = await listen(receiver, { name: 'test', host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${port}/may-publish`
  const server = await startServer({ config: `admission: { url: '${url}', secret: ${SECRET} }\n` })
  try {
    const rtmp = Number(new URL(server.rtmp).port)
    const refused = await RtmpClient.publishing(rtmp, server.streamKey)
    expect(refused.statuses()).toEqual(['NetStream.Publish.BadName'])
    status = 204
    const admitted = await RtmpClient.publishing(rtmp, server.streamKey)
    expect(admitted.statuses()).toEqual(['NetStream.Publish.Start'])
    for (const { body, signature } of words) {
      const seconds = /^t=(\d+),/.exec(String(signature))?.[1]
      expect(signature).toBe(signHook(SECRET, Number(seconds), body))
      expect(JSON.parse(body)).toMatchObject({ kind: 'admission', stream: 'main', agent: 'test' })
      expect(body).not.toContain(server.streamKey)
    }
    expect(words.length).toBe(2)
    const exported = await server.api('GET', '/config')
    expect(JSON.stringify(exported.body)).not.toContain(SECRET)
  } finally {
    await server.stop()
    receiver.closeAllConnections()
    receiver.close()
  }
})
