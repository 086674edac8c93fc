/** The looks of the watch page and of error pages; the player brings its own. */
export const PAGE_STYLE = `
:root { color-scheme: dark; --ink: #f3f1ee; --quiet: #a9a5a0; --line: #2a2930; --card: #17161c; --accent: #ff5a3c; }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: radial-gradient(90rem 50rem at 50% -20rem, #2a2431 0%, #121116 55%, #0c0b0f 100%) fixed; color: var(--ink); font: 400 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; -webkit-font-smoothing: antialiased; }
a { color: inherit; }
.top, main { width: min(100%, 78rem, calc((100vh - 17.5rem) * 16 / 9)); min-width: min(100%, 44rem); margin: 0 auto; padding: 0 1.25rem; }
.top { display: flex; align-items: center; min-height: 3.75rem; }
.brand { display: inline-flex; align-items: center; gap: .6rem; font-weight: 650; text-decoration: none; letter-spacing: .01em; min-height: 2rem; }
.brand svg { width: 26px; height: 26px; }
.frame { border-radius: 16px; overflow: hidden; background: #0b0b0f; box-shadow: 0 1px 0 rgb(255 255 255 / .07) inset, 0 24px 80px rgb(0 0 0 / .55); }
nearcast-player { display: block; width: 100%; aspect-ratio: 16 / 9; background: #0b0b0f; }
h1 { margin: 1.25rem 0 .1rem; font-size: clamp(1.3rem, 1rem + 1.2vw, 1.8rem); line-height: 1.2; font-weight: 680; letter-spacing: -.015em; overflow-wrap: anywhere; }
.kind { margin: 0 0 1.25rem; color: var(--quiet); font-size: .95rem; }
.links { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .9rem; margin: 0 0 3rem; }
.link { display: grid; grid-template-columns: 1fr auto; gap: .35rem .6rem; padding: .85rem 1rem 1rem; border: 1px solid var(--line); border-radius: 14px; background: rgb(23 22 28 / .72); }
.link label { grid-column: 1 / -1; color: var(--quiet); font-size: .85rem; }
.link input { min-width: 0; width: 100%; padding: .5rem .7rem; border: 1px solid var(--line); border-radius: 9px; background: #0e0d12; color: var(--ink); font: 13px/1.4 ui-monospace, 'SF Mono', Menlo, Consolas, monospace; }
.link button { min-width: 5.2rem; min-height: 2.3rem; padding: 0 .9rem; border: 0; border-radius: 9px; background: #302e38; color: var(--ink); font: 600 14px/1 inherit; font-family: inherit; cursor: pointer; }
.link button:hover { background: #3d3a47; }
a:focus-visible, input:focus-visible, button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.note { width: min(100%, 34rem); margin: 0 auto; padding: 18vh 1.25rem 0; text-align: center; }
.note p { color: var(--quiet); }
@media (max-width: 40rem) {
  .top { min-height: 3.2rem; }
  main { padding: 0; }
  main > :not(.frame) { margin-left: 1rem; margin-right: 1rem; }
  .frame { border-radius: 0; }
}
`

export const EMBED_STYLE = `
:root { color-scheme: dark; }
html, body { margin: 0; height: 100%; overflow: hidden; background: #0b0b0f; }
nearcast-player { position: absolute; inset: 0; width: 100%; height: 100%; aspect-ratio: auto; }
`

/** Two arcs that leave a point: near, cast. */
export const LOGO =
  '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="9" fill="#ff5a3c"/><circle cx="10.5" cy="21.5" r="3.5" fill="#fff"/><path d="M10.5 13.5a8 8 0 0 1 8 8M10.5 7.5a14 14 0 0 1 14 14" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>'

const FAVICON = LOGO.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ')
export const FAVICON_URL = `data:image/svg+xml,${encodeURIComponent(FAVICON)}`
