import fc from 'fast-check'
import { expect, it } from 'vitest'
import { apiRoutes, checkHost } from '../../server/control/start-control.ts'
import { NearcastError } from '../../server/lib/errors.ts'
import { FUZZ_RUNS } from '../support/fuzz-runs.ts'

it('takes any Host field or refuses it with forbidden', () => {
  const part = fc.constantFrom('localhost', '127.0.0.1', '[::1]', 'evil.example', '.', ':', '80')
  const host = fc.array(fc.oneof(part, fc.string({ maxLength: 4 }))).map((parts) => parts.join(''))
  fc.assert(
    fc.property(host, (header) => {
      try {
        checkHost(header, ['admin.example.com'])
        // What it lets in is an address, a name without a dot, or one below localhost.
        expect(header.toLowerCase()).toMatch(
          /^[\w-]+(:\d*)?$|(^|\.)localhost(:\d*)?$|^[\d.]+(:\d*)?$|^\[?[\d.a-f:]+\]?(:\d*)?$/,
        )
      } catch (error) {
        if (!(error instanceof NearcastError)) throw error
        expect(error.code).toBe('forbidden')
      }
    }),
    { numRuns: FUZZ_RUNS },
  )
})

it('reads any JSON body as what a route takes, or says what is wrong without throwing', () => {
  const bodies = apiRoutes.flatMap(({ body }) => (body ? [body] : []))
  expect(bodies.length).toBeGreaterThan(3)
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const body of bodies) body.safeParse(value)
    }),
    { numRuns: FUZZ_RUNS },
  )
})
