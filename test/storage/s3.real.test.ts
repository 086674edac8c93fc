import { describe, expect, it } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { silentLog } from '../../server/lib/log.ts'
import { type S3StoreOptions, openS3Store } from '../../server/storage/s3.ts'
import { realS3 } from '../support/real-s3.ts'
import { objectStoreContract, readText } from './object-store.contract.ts'

function openReal(more: Partial<S3StoreOptions> = {}) {
  const { endpoint, region, bucket, accessKeyId, secretAccessKey } = realS3()
  const credentials = { accessKeyId, secretAccessKey }
  const prefix = `run-${process.pid}`
  return openS3Store(
    { bucket, prefix, region, endpoint, pathStyle: true, credentials, ...more },
    { clock: systemClock, log: silentLog },
  )
}

objectStoreContract('a bucket of a real server', async () => {
  const store = openReal()
  const missing = openReal({ bucket: 'no-such-bucket' })
  return {
    store,
    missing,
    keepsContentType: true,
    close: async () => {
      await store.close()
      await missing.close()
    },
  }
})

describe('a real server', () => {
  const ask = () => ({ signal: new AbortController().signal })

  it('says which credential is wrong', async () => {
    const { accessKeyId, secretAccessKey } = realS3()
    const secret = openReal({ credentials: { accessKeyId, secretAccessKey: 'wrong' } })
    await expect(secret.read('a', ask())).rejects.toThrow(/store-denied: .*the secret key is wrong/)
    const key = openReal({ credentials: { accessKeyId: 'NOBODY', secretAccessKey } })
    await expect(key.read('a', ask())).rejects.toThrow(/store-denied: .*not know the access key/)
    await secret.close()
    await key.close()
  })

  it('keeps what it is given under a key with every kind of character', async () => {
    const store = openReal()
    const key = `odd/ +%&?#'"<>|\\^\`{}[]~ü日本😀`
    await store.write(key, Buffer.from('odd'), ask())
    expect(await readText(store.read(key, ask()))).toBe('odd')
    const { objects } = await store.list('odd/', ask())
    expect(objects.map((object) => object.key)).toEqual([key])
    await store.close()
  })
})
