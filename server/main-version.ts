import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProjectRoot } from './config/defaults.ts'

/** The version in package.json; `0` when it names none. */
export function readVersion(): string {
  const text = readFileSync(join(findProjectRoot(), 'package.json'), 'utf8')
  const manifest: unknown = JSON.parse(text)
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : '0'
}
