/**
 * The object key that a URL path names: decoded once, slashes kept. undefined when it can't be a key: malformed percent-encoding,
 * NUL, a `.` or `..` segment however it is encoded, or a folder.
 */
export function storeKeyOf(path: string): string | undefined {
  let decoded: string
  try {
    decoded = decodeURIComponent(path.startsWith('/') ? path.slice(1) : path)
  } catch {
    return undefined
  }
  if (decoded === '' || decoded.endsWith('/') || decoded.includes('\0')) return undefined
  const climbs = decoded.split(/[/\\]/).some((segment) => segment === '..' || segment === '.')
  return climbs ? undefined : decoded
}

/** The name under which everyone who reads this object of this origin shares its bytes. */
export function generationIdOf(originId: string, key: string, etag: string): string {
  return `${originId}\n${key}\n${etag}`
}
