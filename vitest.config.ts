import { defineConfig } from 'vitest/config'
// biome-ignore lint: vitest wants a default export
export default defineConfig({
  test: { include: ['test/**/*.test.ts'], pool: 'threads', isolate: false },
})
