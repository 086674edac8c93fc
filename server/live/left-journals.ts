import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describeError, hasCode } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { type Journal, readJournal } from './archive-journal.ts'
import { Chapter, type ChapterDeps } from './chapter.ts'

export interface LeftJournal {
  readonly chapter: Chapter
  readonly journal: Journal
}

export const JOURNAL_SUFFIX = '.ndjson'
const JOURNAL_BYTES_MAX = 512 * 1024 * 1024

/**
 * What an earlier process left in a folder, the oldest first. What is no journal is removed, with a line in the log; what a
 * disk or a want of handles kept from being read (`unread`) may name a recording, and the next start tries again.
 */
export async function readLeftJournals(
  folder: string,
  deps: ChapterDeps & { readonly log: Log },
): Promise<{ readonly left: readonly LeftJournal[]; readonly unread: number }> {
  const left: LeftJournal[] = []
  let unread = 0
  for (const name of await readdir(folder)) {
    if (!name.endsWith(JOURNAL_SUFFIX)) continue
    const file = join(folder, name)
    try {
      const bytes = await readFile(file)
      if (bytes.length > JOURNAL_BYTES_MAX) throw new RangeError(`${bytes.length} bytes`)
      const journal = readJournal(bytes)
      const chapter = Chapter.of(journal, file, deps)
      await chapter.mend(journal.length)
      left.push({ chapter, journal })
    } catch (error) {
      deps.log.warn('a journal of the archive cannot be read', {
        file: name,
        reason: describeError(error),
      })
      if (hasCode(error, 'origin-failed')) await rm(file, { force: true })
      else unread++
    }
  }
  left.sort((a, b) => a.journal.head.startedAt - b.journal.head.startedAt)
  return { left, unread }
}
