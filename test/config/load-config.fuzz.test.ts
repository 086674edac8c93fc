import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import { loadConfig } from '../../server/config/load-config.ts'
import { hasCode } from '../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

const folder = mkdtempSync(join(tmpdir(), 'nearcast-config-fuzz-'))
const file = join(folder, 'nearcast.yaml')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const options = { numRuns: FUZZ_RUNS }

/** A frozen configuration, or `config-invalid` in lines without control characters. */
function holds(content: string | Uint8Array, argv: readonly string[], env: Record<string, string>) {
  writeFileSync(file, content)
  try {
    expect(Object.isFrozen(loadConfig({ argv, env, cwd: folder }))).toBe(true)
  } catch (error) {
    if (!hasCode(error, 'config-invalid')) throw error
    for (const line of error.message.split('\n')) {
      expect(line.length).toBeGreaterThan(5)
      expect(line).not.toMatch(/\p{Cc}/u)
    }
  }
}

describe('whatever is in it', () => {
  it('a file of bytes or broken YAML is read or refused', () => {
    const token = fc.constantFrom(
      'http',
      ': ',
      '\n',
      '  ',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '&a ',
      '*a',
      '"',
      "'",
      '|',
      '>',
      '!!binary ',
      '!!set ',
      '? ',
      '<<: ',
      '#',
      '\t',
      '---\n',
      'port',
      '99',
      '~',
      '__proto__',
      '\u0000',
      '%YAML 9\n',
    )
    fc.assert(
      fc.property(fc.array(token, { maxLength: 40 }), (tokens) => holds(tokens.join(''), [], {})),
      options,
    )
    // Found by an earlier run: a key of control characters.
    holds(Uint8Array.from([127, 58]), [], {})
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => holds(bytes, [], {})),
      options,
    )
  })

  it('a file of known keys with wrong values is read or refused', () => {
    const key = fc.constantFrom(
      'http',
      'port',
      'host',
      'origins',
      'media',
      'kind',
      'distributions',
      'behaviors',
      'live',
      'edges',
      'constructor',
    )
    const { value } = fc.letrec((tie) => ({
      leaf: fc.oneof(
        fc.constantFrom(0, 1935, 'file', 's3', 'a', '10s', '1GiB', null, true),
        fc.string(),
        fc.double(),
      ),
      value: fc.oneof(
        { maxDepth: 4 },
        tie('leaf'),
        fc.dictionary(key, tie('value'), { maxKeys: 5 }),
        fc.array(tie('value'), { maxLength: 3 }),
      ),
    }))
    fc.assert(
      fc.property(value, (one) => holds(stringify(one) ?? '', [], {})),
      options,
    )
  })

  it('flags and variables are read or refused', () => {
    const word = fc.oneof(
      fc.constantFrom(
        '--role',
        '--data',
        '--demo',
        '--role=all',
        'edge',
        '--',
        '=',
        '--demo=x',
        '',
        '--config',
        '-\u001b[2J',
        '\n',
      ),
      fc.string(),
    )
    const name = fc.constantFrom(
      'NEARCAST_ROLE',
      'NEARCAST_HTTP_PORT',
      'NEARCAST_MEDIA',
      'NEARCAST_PARENT',
      'NEARCAST_LOG',
      'NEARCAST_X',
      'NEARCAST_\u0007',
      'NEARCAST_CONFIG',
      'NEARCAST_REDIS_URL',
      'AWS_REGION',
    )
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 4 }),
        fc.dictionary(name, fc.string({ unit: 'binary' })),
        (argv, env) =>
          holds(
            '',
            argv.map((one) => one.replaceAll('\0', '')),
            env,
          ),
      ),
      options,
    )
  })
})
