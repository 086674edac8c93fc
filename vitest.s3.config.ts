import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.real.test.ts'],
    globalSetup: ['test/support/real-s3.ts'],
    pool: 'threads',
    isolate: false,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
