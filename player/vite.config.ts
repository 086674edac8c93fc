import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

const root = fileURLToPath(new URL('.', import.meta.url))
const outDir = join(root, '../dist/player')

/** Compressed once here, so that a server has nothing to do but to send. */
function precompress(): Plugin {
  let folder = outDir
  return {
    name: 'precompress',
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir)
    },
    closeBundle() {
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!name.endsWith('.js')) continue
        const body = readFileSync(join(folder, name))
        writeFileSync(join(folder, `${name}.gz`), gzipSync(body, { level: 9 }))
        const params = { [constants.BROTLI_PARAM_QUALITY]: 10 }
        writeFileSync(join(folder, `${name}.br`), brotliCompressSync(body, { params }))
      }
    },
  }
}

/** The folder is the address space: `dist/player/player.js` is `/player.js`, chunks are `/player/NAME.HASH.js`. */
export default defineConfig({
  root,
  base: './',
  publicDir: false,
  logLevel: 'warn',
  plugins: [precompress()],
  build: {
    outDir,
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    rollupOptions: {
      input: {
        player: join(root, 'element/nearcast-player.ts'),
        page: join(root, 'element/copy-button.ts'),
      },
      output: {
        entryFileNames: (chunk) => (chunk.name === 'player' ? 'player.js' : 'player/[name].js'),
        chunkFileNames: 'player/[name].[hash].js',
      },
    },
  },
})
