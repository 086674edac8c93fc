/**
 * A quoted string (rfc8216bis §4.2) holds neither line breaks nor a quotation mark; and none of ours refers to a variable (§4.3), so a
 * text that looks like it must not, or players refuse the playlist.
 */
export function quoted(text: string): string {
  return `"${text.replaceAll(/["\r\n]/g, '').replaceAll(/\{\$+/g, '{')}"`
}
