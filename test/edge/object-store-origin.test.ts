import { beforeEach, expect, test } from 'vitest'
import { objectStoreOrigin } from '../../server/edge/object-store-origin.ts'
import { storeKeyOf } from '../../server/edge/store-path.ts'
import type { Fields, OriginMessage } from '../../server/http/message.ts'
import { collect } from '../../server/lib/bytes.ts'
import { bodyChunks } from '../../server/edge/stored-answer.ts'
import { type GatedStore, gatedStore } from '../support/gated-store.ts'

let store: GatedStore
beforeEach(() => {
  store = gatedStore({ 'a b/film.mp4': Buffer.from('0123456789'), empty: Buffer.alloc(0) })
  store.open()
})

async function ask(
  path: string,
  headers: Fields = {},
  method = 'GET',
): Promise<OriginMessage & { text: string }> {
  const signal = new AbortController().signal
  const request = { method, path, query: '', headers, body: null, signal }
  const answer = await objectStoreOrigin('media', store).fetch(request)
  if (answer.kind !== 'message') throw new Error('no message')
  return { ...answer, text: (await collect(bodyChunks(answer.body))).toString() }
}

test('GET gives the whole object with its fields', async () => {
  expect(await ask('/a%20b/film.mp4')).toMatchObject({
    status: 200,
    text: '0123456789',
    headers: {
      'content-type': 'video/mp4',
      'content-length': '10',
      etag: '"v1"',
      'last-modified': 'Thu, 01 Jan 1970 00:00:01 GMT',
      'accept-ranges': 'bytes',
    },
  })
  expect(await ask('/empty')).toMatchObject({ status: 200, text: '' })
})

test('a range costs one read, also with If-Match and a If-Range that holds', async () => {
  const part = { status: 206, text: '23', headers: { 'content-range': 'bytes 2-3/10' } }
  expect(await ask('/a%20b/film.mp4', { range: 'bytes=2-3' })).toMatchObject(part)
  expect(await ask('/a%20b/film.mp4', { range: 'bytes=2-3', 'if-match': '"v1"' })).toMatchObject(
    part,
  )
  expect(await ask('/a%20b/film.mp4', { range: 'bytes=2-3', 'if-range': '"v1"' })).toMatchObject(
    part,
  )
  expect(store.reads).toEqual(['2-3', '2-3', '2-3'])
  expect(store.stats).toEqual([])
  expect(await ask('/a%20b/film.mp4', { range: 'bytes=2-3', 'if-range': '"v0"' })).toMatchObject({
    status: 200,
    text: '0123456789',
  })
})

test('a weak etag is shown as weak, holds for If-None-Match alone, and makes no part of what If-Range names', async () => {
  store = gatedStore({ 'a.txt': Buffer.from('0123456789') }, 1024, true)
  store.open()
  expect((await ask('/a.txt')).headers['etag']).toBe('W/"v1"')
  expect((await ask('/a.txt', {}, 'HEAD')).headers['etag']).toBe('W/"v1"')
  expect((await ask('/a.txt', { 'if-none-match': '"v1"' })).status).toBe(304)
  expect((await ask('/a.txt', { 'if-match': '"v1"' })).status).toBe(412)
  for (const tag of ['"v1"', 'W/"v1"'])
    expect(await ask('/a.txt', { range: 'bytes=2-3', 'if-range': tag })).toMatchObject({
      status: 200,
      text: '0123456789',
    })
})

test('conditions are answered without reading the object', async () => {
  const status = async (headers: Fields) => (await ask('/a%20b/film.mp4', headers)).status
  expect(await status({ 'if-none-match': '"v1"' })).toBe(304)
  expect(await status({ 'if-modified-since': 'Thu, 01 Jan 1970 00:00:01 GMT' })).toBe(304)
  expect(await status({ 'if-match': '"a", "b"' })).toBe(412)
  expect(store.reads).toEqual([])
  expect(await status({ 'if-match': '"v0"' })).toBe(412)
  expect(await status({ 'if-none-match': '"v0"' })).toBe(200)
})

test('HEAD reads nothing', async () => {
  const answer = await ask('/a%20b/film.mp4', {}, 'HEAD')
  expect(answer).toMatchObject({ status: 200, headers: { 'content-length': '10' }, text: '' })
  expect(store.reads).toEqual([])
})

test('what is not there, folders and other methods are refused', async () => {
  await expect(ask('/none')).rejects.toMatchObject({ code: 'object-not-found' })
  await expect(ask('/none', {}, 'HEAD')).rejects.toMatchObject({ code: 'object-not-found' })
  await expect(ask('/a%20b/')).rejects.toMatchObject({ code: 'object-not-found' })
  await expect(ask('/a%20b/film.mp4', { range: 'bytes=10-' })).rejects.toMatchObject({
    code: 'range-not-satisfiable',
  })
  await expect(ask('/a%20b/film.mp4', {}, 'PUT')).rejects.toMatchObject({
    code: 'method-not-allowed',
  })
})

test.each([
  ['/a/b.mp4', 'a/b.mp4'],
  ['/a%2Fb', 'a/b'],
  ['/%E4%BD%A0', '你'],
  ['/a+b', 'a+b'],
  ['/..a/b..', '..a/b..'],
  ['/', undefined],
  ['/a/', undefined],
  ['/a/../b', undefined],
  ['/a/%2e%2e/b', undefined],
  ['/%2e%2e%2fb', undefined],
  ['/a\\..\\b', undefined],
  ['/a%00', undefined],
  ['/%ff', undefined],
  ['/%', undefined],
])('the path %s names the key %s', (path, key) => {
  expect(storeKeyOf(path)).toBe(key)
})
