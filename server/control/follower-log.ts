import { NearcastError } from '../lib/errors.ts'
import type { ChangeLog, ChangePosition } from './change-log.ts'

/** The log as an edge has it: somebody else's. Nothing can be changed here; `append` throws `forbidden` and says where. */
export function followerLog(position: () => ChangePosition, parent: string): ChangeLog {
  return {
    get position() {
      return position()
    },
    append: async () => {
      throw new NearcastError('forbidden', `this edge follows ${parent}; make changes there`)
    },
    since: () => [],
    subscribe: () => ({ [Symbol.dispose]: () => {} }),
    close: async () => {},
  }
}
