import Rtmp from 'node-media-server/src/protocol/rtmp.js'
import { NearcastError } from '../lib/errors.ts'

/** C1, C2, S1 and S2 (RTMP 1.0 §5.2.3). */
export const HANDSHAKE_BYTES = 1536
const VERSION = 3

// node-media-server makes the answer: simple, or with the digests Flash and librtmp check, in both places they put them.
// One instance for all: it takes C0+C1 whole and answers before it returns, and each instance would hold 1 MiB.
const answering = new Rtmp()

/** Throws `bad-request` when C0 is another protocol's (RTMPE is version 6). */
export function checkVersion(greeting: Buffer): void {
  if (greeting[0] !== VERSION) {
    throw new NearcastError('bad-request', `RTMP version ${greeting[0]}, not ${VERSION}`)
  }
}

/** S0+S1+S2 for a whole C0+C1 whose version was checked. */
export function answerHandshake(greeting: Buffer): Buffer {
  if (greeting.length !== 1 + HANDSHAKE_BYTES) {
    throw new NearcastError('internal', `handshake of ${greeting.length} bytes`)
  }
  let answer: Buffer | undefined
  answering.handshakeState = 0
  answering.handshakeBytes = 0
  answering.onOutputCallback = (bytes) => {
    answer = bytes
  }
  answering.parserData(greeting)
  if (answer === undefined) throw new NearcastError('internal', 'no answer to the handshake')
  return answer
}
