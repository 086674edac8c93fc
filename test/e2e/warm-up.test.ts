import { expect, it } from 'vitest'
import { systemClock } from '../../server/lib/clock.ts'
import { type Log, silentLog } from '../../server/lib/log.ts'
import { warmUp } from '../../server/main-warm.ts'

it('plays the sample to itself', async () => {
  const said: string[] = []
  const log: Log = { ...silentLog, debug: (message) => said.push(message) }
  await warmUp(systemClock, log)
  expect(said).toEqual(['warm'])
})
