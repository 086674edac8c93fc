/** What ffmpeg reads: an address, and how it is to be read. */
export interface ListedSource {
  /** May hold a password or a key. */
  readonly url: string
  /** By which it, and what it names, may be fetched. */
  readonly protocols: readonly string[]
  /** What it may be; anything that ffmpeg knows unless given. */
  readonly formats?: readonly string[] | undefined
  /** ffmpeg's options for this address. */
  readonly options: Readonly<Record<string, string>>
}

/**
 * The source as a list of one (ffconcat), for ffmpeg's standard input: a command line is in the process list, which every user of a
 * machine may read. ffmpeg 5.1 takes options from no file, and its `concatf:` no source without an end.
 */
export function writeSourceList({ url, protocols, options }: ListedSource): string {
  const all = { ...options, protocol_whitelist: protocols.join(',') }
  const lines = Object.entries(all).map(([name, value]) => `option ${name} ${quoted(value)}\n`)
  return `ffconcat version 1.0\nfile ${quoted(url)}\n${lines.join('')}`
}

/** How ffmpeg is told to read such a list from its standard input; nothing of the source's address is in it. */
export function listOptions({ protocols, formats }: ListedSource): readonly string[] {
  return [
    '-f concat',
    '-safe 0',
    // Frames stay as they were sent.
    '-auto_convert 0',
    `-protocol_whitelist pipe,${protocols.join(',')}`,
    ...(formats === undefined ? [] : [`-format_whitelist concat,${formats.join(',')}`]),
  ]
}

/** In quotes as av_get_token reads them; a line break would begin another directive, and addresses have none. */
function quoted(text: string): string {
  return `'${text.replaceAll(/[\r\n]/g, '').replaceAll("'", String.raw`'\''`)}'`
}
