import * as fc from 'fast-check'
import { FUZZ_RUNS } from './fuzz-runs.ts'

const QUICK_RUNS = 300

/** The suite makes up the same inputs each time, so that it is green or red by what changed; `npm run fuzz` looks for new ones. */
if (FUZZ_RUNS === QUICK_RUNS) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: 20_261_122 })
