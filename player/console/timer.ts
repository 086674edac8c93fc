/* oxlint-disable no-restricted-globals -- the console's one place that reads the browser's timers */
/** Runs `task` each `ms`, and at once when the page comes into sight again; not while it is hidden. */
export function whileSeen(ms: number, task: () => void): void {
  setInterval(() => {
    if (!document.hidden) task()
  }, ms)
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) task()
  })
}

export function after(ms: number, task: () => void): void {
  setTimeout(task, ms)
}
