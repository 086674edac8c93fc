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
    // Bounds on hanging, never on speed: a busy machine starts a process twenty times slower.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000, interval: 20 } },
  },
})
