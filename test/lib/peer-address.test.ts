import { expect, test } from 'vitest'
import { peerAddress } from '../../server/lib/peer-address.ts'

test.each([
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['192.0.2.7', '192.0.2.7'],
  ['2001:db8::7', '2001:db8::7'],
  [undefined, ''],
])('the peer of a socket at %s is %s', (remoteAddress, address) => {
  expect(peerAddress({ remoteAddress })).toBe(address)
})
