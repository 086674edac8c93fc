/** What is said first, because it is the answer to "why". */
const FIRST = ['why', 'decision', 'stored']

/** An answer of the API as rows of name and words, the reason before the circumstances. */
export function explainRows(answer: object): readonly (readonly [name: string, words: string])[] {
  const rank = ([name]: readonly [string, unknown]) =>
    FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length
  return Object.entries(answer)
    .filter(([, value]) => value !== null)
    .sort((one, other) => rank(one) - rank(other))
    .map(([name, value]) => [nameInWords(name), inWords(value)] as const)
}

function nameInWords(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

function inWords(value: unknown): string {
  if (value === true) return 'yes'
  if (value === false) return 'no'
  if (typeof value === 'number') return `${Math.round(value * 10) / 10}`
  if (Array.isArray(value)) return value.map(inWords).join('; ')
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .filter(([, one]) => one !== null && inWords(one) !== '')
    .map(([name, one]) => (name === 'kind' ? inWords(one) : `${nameInWords(name)} ${inWords(one)}`))
    .join(', ')
}
