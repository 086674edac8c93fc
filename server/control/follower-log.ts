import { NearcastError } from '../lib/errors.ts'
import type { ChangeLog, ChangePosition } from './change-log.ts'

/** The log as an edge has it: somebody else's. Nothing can be changed here; `append` throws `forbidden` and says where. */
export function followerLog(position: () => ChangePosition, parent: string): ChangeLog {
  return {
    get position() {
      return position()
    },
    parent,
    append: async () => {
      throw followsParent(parent)
    },
    since: () => [],
    subscribe: () => ({ [Symbol.dispose]: () => {} }),
    close: async () => {},
  }
}

export function followsParent(parent: string): NearcastError {
  return new NearcastError('forbidden', `this edge follows ${parent}; make changes there`)
}
