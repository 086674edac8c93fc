import { realS3 } from '../support/real-s3.ts'
import { bucketTests } from './bucket-tests.ts'

bucketTests(realS3)
