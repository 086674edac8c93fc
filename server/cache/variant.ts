import type { StoredFields } from './stored-object.ts'

/** What the fields of these names, lower-case and sorted, say in a request: which of a key's answers is meant. Empty for no names. */
export function variantOf(names: readonly string[], fields: StoredFields): string {
  // Unambiguous: values are joined with lengths.
  return names
    .map((name) => {
      // Vary may name what every object has.
      const value = Object.hasOwn(fields, name) ? fields[name] : undefined
      const text =
        value === undefined ? undefined : typeof value === 'string' ? value : value.join(', ')
      return text === undefined ? '-' : `${text.length}:${text}`
    })
    .join('')
}

export function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index])
}
