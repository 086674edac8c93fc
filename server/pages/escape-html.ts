const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
}

/** Text for HTML content and for attribute values in double quotes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"'`]/g, (char) => ENTITIES[char] ?? '')
}

/** Markup whose values are escaped; a value that is markup itself is given as `Markup`. */
export interface Markup {
  readonly markup: string
}

/** Template tag: everything put in is escaped unless it is Markup. */
export function html(
  strings: TemplateStringsArray,
  ...values: readonly (string | Markup)[]
): Markup {
  let markup = strings[0] ?? ''
  for (const [at, value] of values.entries())
    markup +=
      (typeof value === 'string' ? escapeHtml(value) : value.markup) + (strings[at + 1] ?? '')
  return { markup }
}
