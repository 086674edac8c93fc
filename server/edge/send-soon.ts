let waiting: (() => void)[] = []
/** Answers of one turn of the event loop, and how long they may take together: others wait meanwhile. Milliseconds. */
const AT_ONCE = 32
const TURN_MS = 8

/**
 * Answers leave when every connection that has something to read has been read: reading and writing do not push
 * each other out of the CPU's caches, and a viewer on this machine is not woken anew for each.
 */
export function sendSoon(send: () => void): void {
  if (waiting.push(send) === 1) setImmediate(sendWaiting)
}

function sendWaiting(): void {
  const sends = waiting
  const began = performance.now()
  let sent = 0
  waiting = []
  for (const send of sends) {
    send()
    sent += 1
    if (sent % AT_ONCE === 0 && performance.now() - began > TURN_MS) break
  }
  if (sent === sends.length) return
  // Those who came meanwhile have begun a turn of their own.
  const begun = waiting.length > 0
  waiting = [...sends.slice(sent), ...waiting]
  if (!begun) setImmediate(sendWaiting)
}
