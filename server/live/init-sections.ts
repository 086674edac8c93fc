import type { MutableRendition } from './eviction.ts'

/** Init sections kept for one rendition: a publisher that changes its settings all the time pushes out the oldest. */
const INITS_MAX = 32

/** It is in force from now on. What no segment needs goes first, so that a flood of settings takes none from viewers. */
export function keepInit(rendition: MutableRendition, uri: string, bytes: Uint8Array): void {
  const { inits } = rendition
  rendition.init = uri
  inits.delete(uri)
  inits.set(uri, bytes)
  if (inits.size <= INITS_MAX) return
  dropUnusedInits(rendition)
  for (const oldest of inits.keys()) {
    if (inits.size <= INITS_MAX) return
    inits.delete(oldest)
  }
}

export function dropUnusedInits({ inits, init, segments }: MutableRendition): void {
  if (inits.size < 2) return
  const used = new Set(segments.map((segment) => segment.init)).add(init)
  for (const uri of inits.keys()) if (!used.has(uri)) inits.delete(uri)
}
