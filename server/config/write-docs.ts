import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findProjectRoot } from './defaults.ts'
import { configurationPage } from './describe-settings.ts'

writeFileSync(join(findProjectRoot(), 'docs', 'CONFIGURATION.md'), configurationPage())
