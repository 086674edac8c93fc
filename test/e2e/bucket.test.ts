import { afterAll, beforeAll } from 'vitest'
import { type S3Stub, startS3Stub } from '../support/s3-stub.ts'
import { bucketTests } from './bucket-tests.ts'

let stub: S3Stub
beforeAll(async () => {
  stub = await startS3Stub()
})
afterAll(() => stub.close())

bucketTests(() => {
  const { endpoint, bucket, region, credentials } = stub
  return { endpoint, bucket, region, ...credentials }
})
