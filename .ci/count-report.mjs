// count-report.mjs REPORT EXIT-CODE: prints how many tests of a vitest JSON report passed and failed.
import { readFileSync } from 'node:fs'

const [file = '', exitCode = '1'] = process.argv.slice(2)
const { passed, failed } = count(file)
// A run that ended badly without naming a test (a crash, a file that cannot be loaded, no report) is one failure.
process.stdout.write(`${passed} ${failed === 0 && exitCode !== '0' ? 1 : failed}\n`)

function count(path) {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8'))
    const broken = report.testResults.filter(
      ({ status, assertionResults }) =>
        status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
    )
    return {
      passed: report.numPassedTests,
      // A test that is skipped proves nothing.
      failed: report.numFailedTests + report.numPendingTests + broken.length,
    }
  } catch {
    return { passed: 0, failed: 1 }
  }
}
