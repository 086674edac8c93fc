/** Which answer: its key, the fields that choose among the key's answers, and what they choose. */
export interface AnswerName {
  readonly key: string
  readonly vary: readonly string[]
  readonly variant: string
}

// The first letter keeps the kinds apart, lengths keep parts apart that others choose.

export function keyRecord(key: string): string {
  return `o${key}`
}

export function answerRecord({ key, vary, variant }: AnswerName): string {
  return vary.length === 0 ? keyRecord(key) : `v${JSON.stringify([key, vary, variant])}`
}
