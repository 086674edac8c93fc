import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

const root = fileURLToPath(new URL('.', import.meta.url))

/** The operator's page: `dist/console/` is what the control port answers. */
export default defineConfig({
  root,
  base: '/',
  publicDir: false,
  logLevel: 'warn',
  build: {
    outDir: join(root, '../../dist/console'),
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    // The policy of the page allows no inlined bytes but pictures.
    assetsInlineLimit: 0,
  },
})
