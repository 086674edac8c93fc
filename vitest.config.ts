import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // What needs a real S3 server runs by vitest.s3.config.ts alone.
    exclude: ['test/**/*.real.test.ts', 'node_modules/**'],
    setupFiles: ['test/support/fuzz-seed.ts'],
    pool: 'threads',
    isolate: false,
    // Many tests wait for real time with ffmpeg or a browser: on two cores, one file at a time leaves half of them idle.
    maxWorkers: '100%',
    // Whole servers, ffmpeg and Chromium on two busy cores.
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
