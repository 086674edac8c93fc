import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { isRecordingStart, type RecordingIndex } from '../formats/recording/recording-index.ts'
import { totalsOf } from '../formats/recording/recording-totals.ts'
import type { Log } from '../lib/log.ts'

/** A recording that is wholly in its store, or a clip. Milliseconds since 1970. */
export interface CatalogueRow {
  readonly kind: 'recording' | 'clip'
  /** `recordings/NAME/START`, `recordings/NAME/clips/ID` */
  readonly key: string
  readonly origin: string
  /** Of a clip: START of the recording whose segments it has. */
  readonly of?: string | undefined
  readonly startedAt: number
  readonly endsAt: number
  readonly seconds: number
  readonly bytes: number
  readonly missingSegments: number
}

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const time = z.number().min(-8.64e15).max(8.64e15)
const key = z
  .string()
  .regex(/^recordings\/[A-Za-z0-9_-]{1,64}\/(?:\d{8}T\d{6}Z|clips\/[a-z0-9]{1,32})$/)
const about = {
  key,
  origin: z.string().min(1).max(100),
  startedAt: time,
  endsAt: time,
  seconds: z.number().min(0).max(1e9),
  bytes: count,
  missingSegments: count,
}
const lineSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('recording'), ...about }),
  z.object({ kind: z.literal('clip'), ...about, of: z.string().refine(isRecordingStart) }),
  z.object({ kind: z.literal('removing'), key }),
  z.object({ kind: z.literal('removed'), key }),
])
type Line = z.infer<typeof lineSchema>

/** Lines that say nothing any more, before the file is written anew at an open. */
const OLD_LINES_MAX = 1000
const PRIVATE = 0o600

/**
 * Which recordings and clips there are: a file of lines, so that a list asks no store. What it lost can be found in the stores again.
 */
export class RecordingCatalogue {
  readonly #file: string
  readonly #rows = new Map<string, CatalogueRow>()
  readonly #removing = new Set<string>()
  #writing: Promise<void> = Promise.resolve()

  private constructor(file: string) {
    this.#file = file
  }

  /** Lines that cannot be read are passed over, with one line in the log. */
  static async open(file: string, log: Log): Promise<RecordingCatalogue> {
    const catalogue = new RecordingCatalogue(file)
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
      throw error
    })
    const { lines, broken } = readCatalogue(text)
    for (const line of lines) catalogue.#apply(line)
    if (broken > 0) log.warn('lines of the list of recordings cannot be read', { broken })
    const torn = text !== '' && !text.endsWith('\n')
    if (torn || broken > 0 || lines.length - catalogue.#rows.size > OLD_LINES_MAX)
      await catalogue.#rewrite()
    return catalogue
  }

  get rows(): readonly CatalogueRow[] {
    return [...this.#rows.values()]
  }

  get(key: string): CatalogueRow | undefined {
    return this.#rows.get(key)
  }

  /** Its objects are going; nothing of it is to be had. */
  isRemoving(key: string): boolean {
    return this.#removing.has(key)
  }

  /** Of an index that is complete in the store of `origin`; nothing when it is known. */
  async add(key: string, origin: string, index: RecordingIndex): Promise<CatalogueRow> {
    const known = this.#rows.get(key)
    if (known) return known
    const { startedAt, of } = index
    const base = { key, origin, startedAt, ...totalsOf(index) }
    const row: CatalogueRow & Line =
      of === undefined ? { kind: 'recording', ...base } : { kind: 'clip', ...base, of }
    await this.#append(row)
    return row
  }

  async beginRemoving(key: string): Promise<void> {
    await this.#append({ kind: 'removing', key })
  }

  async removed(key: string): Promise<void> {
    await this.#append({ kind: 'removed', key })
  }

  async #append(line: Line): Promise<void> {
    const written = this.#writing.then(() =>
      appendFile(this.#file, `${JSON.stringify(line)}\n`, { mode: PRIVATE }),
    )
    this.#writing = written.catch(() => {})
    await written
    this.#apply(line)
  }

  async #rewrite(): Promise<void> {
    const lines: Line[] = []
    for (const row of this.#rows.values()) {
      const { of, kind, ...rest } = row
      lines.push(
        kind === 'clip' && of !== undefined
          ? { kind, of, ...rest }
          : { kind: 'recording', ...rest },
      )
      if (this.#removing.has(row.key)) lines.push({ kind: 'removing', key: row.key })
    }
    const temporary = `${this.#file}.new`
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
    await writeFile(temporary, text, { mode: PRIVATE })
    await rename(temporary, this.#file)
  }

  #apply(line: Line): void {
    switch (line.kind) {
      case 'recording':
      case 'clip':
        this.#rows.set(line.key, line)
        this.#removing.delete(line.key)
        return
      case 'removing':
        if (this.#rows.has(line.key)) this.#removing.add(line.key)
        return
      case 'removed':
        this.#rows.delete(line.key)
        this.#removing.delete(line.key)
    }
  }
}

/** The lines that mean something, and how many do not. */
export function readCatalogue(text: string): {
  readonly lines: readonly Line[]
  readonly broken: number
} {
  const lines: Line[] = []
  let broken = 0
  for (const one of text.split('\n')) {
    if (one === '') continue
    const parsed = lineSchema.safeParse(parseJson(one))
    if (parsed.success) lines.push(parsed.data)
    else broken++
  }
  return { lines, broken }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
