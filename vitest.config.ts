import { defineConfig } from 'vitest/config'
// biome-ignore lint: vitest wants a default export
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'threads',
    isolate: false,
    // Whole servers, ffmpeg and a browser share two cores: what is right may take a while.
    testTimeout: 30_000,
    hookTimeout: 90_000,
  },
})
