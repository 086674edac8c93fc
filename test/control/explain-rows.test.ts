import { expect, it } from 'vitest'
import { explainRows } from '../../player/console/explain-rows.ts'

it('says the reason of an answer first, and all of it in words', () => {
  const answer = {
    url: '/a.jpg',
    behavior: { path: '/*', ttl: { min: 0, max: 60 } },
    invalidatedBy: ['/a.jpg', '/*'],
    origin: { id: 'site', query: '', fields: [] },
    ageSeconds: 7.8149999999,
    stored: false,
    decision: { kind: 'fetch', reason: 'uri-miss' },
    why: 'nobody asked for it',
  }
  expect(explainRows(answer)).toEqual([
    ['why', 'nobody asked for it'],
    ['decision', 'fetch, reason uri-miss'],
    ['stored', 'no'],
    ['url', '/a.jpg'],
    ['behavior', 'path /*, ttl min 0, max 60'],
    ['invalidated by', '/a.jpg; /*'],
    ['origin', 'id site'],
    ['age seconds', '7.8'],
  ])
})
