#!/usr/bin/env node
// The `nearcast` command. Plain JavaScript: `start` must work in a clone that has Node and nothing else.
import { existsSync } from 'node:fs'

const built = new URL('../../dist/server/cli/nearcast.js', import.meta.url)

if (process.argv[2] === 'start') {
  await import('./bootstrap.mjs')
} else if (existsSync(built)) {
  const { runNearcast } = await import(built.href)
  process.exitCode = await runNearcast({
    argv: process.argv.slice(2),
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
  })
} else {
  process.stderr.write('nearcast: not built yet; run `npm start` or `npm run build` once\n')
  process.exitCode = 3
}
