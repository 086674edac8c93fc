import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { writtenBody } from '../../server/storage/written-body.ts'

it('keeps nothing of what it has given', async () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const given: WeakRef<Uint8Array>[] = []
  let kept = 0
  async function* source() {
    for (let n = 0; n < 50; n++) {
      const chunk = Buffer.allocUnsafeSlow(1024)
      given.push(new WeakRef(chunk))
      yield chunk
    }
    // A WeakRef holds what it was made of until its job is over.
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
    kept = given.filter((chunk) => chunk.deref() !== undefined).length
  }
  let length = 0
  const { signal } = new AbortController()
  for await (const chunk of writtenBody('key', source(), { signal })) length += chunk.length
  expect(length).toBe(50 * 1024)
  expect(kept).toBeLessThan(10)
})
