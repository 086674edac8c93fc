import { html, type Markup } from './escape-html.ts'
import { type MediaTarget, pagePath, titleOf } from './page-address.ts'
import { EMBED_STYLE, FAVICON_URL, LOGO, PAGE_STYLE } from './page-style.ts'
import type { PlayerOptions } from './player-options.ts'

export interface PageInput {
  readonly target: MediaTarget
  readonly options: PlayerOptions
  /** Scheme and host the viewer used; '' when unknown: then addresses stay relative. */
  readonly base: string
  /** Chunks every page needs, fetched along with the player. */
  readonly preload: readonly string[]
}

/** The page around a large player: title, addresses to copy, what link previews read. */
export function writeWatchPage(input: PageInput): string {
  const { target, base } = input
  const title = titleOf(target)
  const live = target.kind === 'live'
  const body = html`<header class="top"><a class="brand" href="/">${raw(LOGO)}Nearcast</a></header>
<main>
<div class="frame">${player(input)}</div>
<h1>${title}</h1>
<p class="kind">${live ? 'Live stream' : target.key}</p>
<div class="links">
${copyable('hls', 'HLS address, for any player', base + target.src)}
${copyable('embed', 'Embed in a page', embedCode(base, target, 640, 360))}
</div>
</main>
<script type="module" src="/player/page.js"></script>`
  return document(input, head(input, title), raw(PAGE_STYLE), body)
}

/** The player alone, filling the frame it stands in. */
export function writeEmbedPage(input: PageInput): string {
  return document(input, head(input, titleOf(input.target)), raw(EMBED_STYLE), player(input))
}

/** An error for people. */
export function writeErrorPage(title: string, sentence: string): string {
  return page(
    title,
    html``,
    raw(PAGE_STYLE),
    html`<main class="note"><a class="brand" href="/">${raw(LOGO)}Nearcast</a><h1>${title}</h1><p>${sentence}</p><p><a href="/">To the start page</a></p></main>`,
  )
}

/** What someone pastes into a page of theirs. */
export function embedCode(
  base: string,
  target: MediaTarget,
  width: number,
  height: number,
): string {
  const { markup } =
    html`<iframe src="${base + pagePath('embed', target)}" width="${`${width}`}" height="${`${height}`}" style="border:0" title="${titleOf(target)}" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>`
  return markup
}

function player({ target, options }: PageInput): Markup {
  const flags: Markup[] = []
  if (options.autoplay !== 'no')
    flags.push(html` autoplay="${options.autoplay === 'muted' ? 'muted' : ''}"`)
  if (options.muted) flags.push(html` muted`)
  if (options.loop) flags.push(html` loop`)
  if (options.start !== undefined) flags.push(html` start-time="${options.start}"`)
  if (options.accent !== undefined) flags.push(html` accent-color="${options.accent}"`)
  // What starts by itself has a picture of its own as soon as a poster could come.
  if (options.autoplay === 'no' && target.poster !== undefined)
    flags.push(html` poster="${target.poster}"`)
  const type = target.kind === 'live' ? 'live' : 'on-demand'
  return html`<nearcast-player src="${target.src}" stream-type="${type}" title="${titleOf(target)}"${join(flags)}></nearcast-player>`
}

function head({ target, base }: PageInput, title: string): Markup {
  if (base === '') return html`<meta property="og:title" content="${title}">`
  const watch = base + pagePath('watch', target)
  const embed = base + pagePath('embed', target)
  const oembed = `${base}/oembed?url=${encodeURIComponent(watch)}`
  const image =
    target.poster === undefined
      ? html``
      : html`<meta property="og:image" content="${base + target.poster}">
<meta name="twitter:image" content="${base + target.poster}">
`
  return html`${image}<link rel="canonical" href="${watch}">
<link rel="alternate" type="application/json+oembed" href="${oembed}" title="${title}">
<meta property="og:type" content="video.other">
<meta property="og:site_name" content="Nearcast">
<meta property="og:title" content="${title}">
<meta property="og:url" content="${watch}">
<meta property="og:video" content="${embed}">
<meta property="og:video:type" content="text/html">
<meta property="og:video:width" content="1280">
<meta property="og:video:height" content="720">
<meta name="twitter:card" content="player">
<meta name="twitter:title" content="${title}">
<meta name="twitter:player" content="${embed}">
<meta name="twitter:player:width" content="1280">
<meta name="twitter:player:height" content="720">`
}

function document(input: PageInput, meta: Markup, style: Markup, body: Markup): string {
  const preload = input.preload.map(
    (path) => html`<link rel="preload" as="script" crossorigin href="${path}">\n`,
  )
  // The playlist comes while the player's script is still being read: its XHR takes this answer over.
  const source = html`<link rel="preload" as="fetch" crossorigin href="${input.target.src}">\n`
  const links = html`${source}${join(preload)}<script type="module" src="/player.js"></script>\n${meta}`
  return page(titleOf(input.target), links, style, body)
}

function page(title: string, head: Markup, style: Markup, body: Markup): string {
  const { markup } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="${FAVICON_URL}">
<style>${style}</style>
${head}
</head>
<body>
${body}
</body>
</html>
`
  return markup
}

function copyable(id: string, label: string, value: string): Markup {
  return html`<div class="link"><label for="${id}">${label}</label><input id="${id}" readonly value="${value}"><nearcast-copy from="${id}"><button type="button">Copy</button></nearcast-copy></div>`
}

function raw(markup: string): Markup {
  return { markup }
}

function join(parts: readonly Markup[]): Markup {
  return { markup: parts.map((part) => part.markup).join('') }
}
