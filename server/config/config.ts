import type * as z from 'zod'
import type { OriginDefaults } from '../distribution/schema.ts'
import type { Distribution, OriginOptions } from '../distribution/types.ts'
import type { settingsSchema } from './schema.ts'

type Frozen<T> = T extends readonly unknown[] | object
  ? { readonly [K in keyof T]: Frozen<T[K]> }
  : T

type Settings = Frozen<z.output<typeof settingsSchema>>

/**
 * All that is configured, defaults applied, paths absolute, names checked against each other, deeply frozen. Seconds
 * and bytes are numbers.
 */
export interface Config
  extends Omit<Settings, 'media' | 'origins' | 'distributions' | 'live' | 's3'> {
  /** `record` is undefined when nothing is recorded. */
  readonly live: Omit<Settings['live'], 'record'> & { readonly record: string | undefined }
  /** By id; without the built-in ones. */
  readonly origins: Readonly<Record<string, OriginOptions>>
  /** What an origin that is made while running leaves out. */
  readonly originDefaults: OriginDefaults
  /** Where relative folders of origins begin: the file's own folder, else the working folder. */
  readonly folder: string
  readonly distributions: readonly Distribution[]
  /** The file that was read; undefined when there was none. */
  readonly file: string | undefined
}
