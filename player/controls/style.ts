/** The player's looks. Sizes follow the player's own width (container queries), not the page's. */
export const STYLE = /* css */ `
:host {
  --accent: var(--nearcast-accent, #ff5a3c);
  --ink: #f6f4f1;
  --quiet: #c9c5bf;
  --glass: rgb(14 14 18 / 0.72);
  display: block;
  position: relative;
  box-sizing: border-box;
  width: 100%;
  aspect-ratio: 16 / 9;
  overflow: hidden;
  background: #0b0b0f;
  color: var(--ink);
  font: 500 14px/1.35 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif;
  container-type: inline-size;
  -webkit-font-smoothing: antialiased;
}
:host([hidden]) { display: none; }
:host(:fullscreen) { width: 100%; height: 100%; aspect-ratio: auto; border-radius: 0; }
:host(:focus) { outline: none; }
:host(:focus-visible) { outline: 3px solid var(--accent); outline-offset: 2px; }

media-controller {
  position: absolute;
  inset: 0;
  width: 100%;
  height: 100%;
  line-height: 1.35;
  --media-background-color: transparent;
  --media-primary-color: var(--ink);
  --media-secondary-color: transparent;
  --media-control-background: transparent;
  --media-control-hover-background: rgb(255 255 255 / 0.12);
  --media-control-height: 22px;
  --media-control-padding: 9px;
  --media-focus-box-shadow: inset 0 0 0 2px var(--ink), 0 0 0 2px var(--accent);
  --media-range-bar-color: var(--accent);
  --media-range-track-background: rgb(255 255 255 / 0.24);
  --media-range-track-border-radius: 3px;
  --media-range-thumb-background: #fff;
  --media-range-thumb-width: 13px;
  --media-range-thumb-height: 13px;
  --media-time-range-buffered-color: rgb(255 255 255 / 0.36);
  --media-menu-background: rgb(20 20 25 / 0.96);
  --media-settings-menu-background: rgb(20 20 25 / 0.96);
  --media-menu-item-hover-background: rgb(255 255 255 / 0.12);
  --media-tooltip-background: rgb(20 20 25 / 0.95);
  --media-preview-time-background: rgb(20 20 25 / 0.9);
  --media-font-family: inherit;
  --media-control-transition-out: opacity 0.4s;
}
nearcast-video { display: block; width: 100%; height: 100%; transition: none; --media-webkit-text-track-transition: transform 0.15s; }
media-controller:not([userinactive]) nearcast-video,
media-controller[mediapaused] nearcast-video { --media-webkit-text-track-transform: translateY(-78px); }
.poster { width: 100%; height: 100%; object-fit: contain; }
.poster:not([src]) { display: none; }
/* Until the controls are there: the picture, the card over it, and nothing else. */
media-controller:not(:defined) { display: block; }
media-controller:not(:defined) > :is(.title, .chrome, media-settings-menu) { display: none; }
media-controller:not(:defined) > .poster { position: absolute; inset: 0; }

.title {
  align-self: stretch;
  padding: 14px 16px 34px;
  background: linear-gradient(rgb(0 0 0 / 0.6), transparent);
  font-size: 15px;
  font-weight: 600;
  text-shadow: 0 1px 3px rgb(0 0 0 / 0.5);
  white-space: nowrap;
  overflow: hidden;
  text-overflow: ellipsis;
  pointer-events: none;
}
.title:empty { display: none; }

.chrome {
  align-self: stretch;
  padding: 44px 8px 6px;
  background: linear-gradient(transparent, rgb(0 0 0 / 0.72));
  pointer-events: none;
}
.chrome > * { pointer-events: auto; }
.chrome[hidden] { display: none; }
.chrome media-time-range { display: block; width: 100%; height: 24px; --media-control-padding: 8px; --media-control-hover-background: transparent; }
.chrome media-time-range[hidden] { display: none; }
media-control-bar { display: flex; align-items: center; width: 100%; }
media-control-bar > * { border-radius: 8px; }
media-volume-range { width: 84px; --media-control-hover-background: transparent; }
media-settings-menu { bottom: 84px !important; right: 12px !important; border-radius: 12px; }
.gap { flex: 1; min-width: 0; }
.time { padding: 0 10px; font-variant-numeric: tabular-nums; font-size: 13px; white-space: nowrap; }
.time .total { color: var(--quiet); }

button {
  font: inherit;
  color: inherit;
  border: 0;
  background: none;
  cursor: pointer;
}
button:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px; box-shadow: 0 0 0 2px var(--accent); }
.badge {
  display: inline-flex;
  align-items: center;
  gap: 7px;
  min-height: 28px;
  margin: 0 8px;
  padding: 3px 11px;
  border-radius: 999px !important;
  background: rgb(255 255 255 / 0.14);
  font-size: 12px;
  font-weight: 650;
  letter-spacing: 0.02em;
  white-space: nowrap;
}
.badge:hover { background: rgb(255 255 255 / 0.24); }
.badge .dot { width: 8px; height: 8px; border-radius: 50%; background: #9b9ba3; }
.badge .latency { min-width: 4.2ch; font-variant-numeric: tabular-nums; font-weight: 500; color: var(--quiet); }
.badge[data-at='edge'] .dot { background: #ff3b3b; box-shadow: 0 0 0 3px rgb(255 59 59 / 0.28); }
[hidden] { display: none !important; }

.unmute {
  position: absolute;
  top: 14px;
  left: 14px;
  display: inline-flex;
  align-items: center;
  gap: 8px;
  min-height: 40px;
  padding: 8px 16px 8px 12px;
  border-radius: 999px;
  background: var(--ink);
  color: #16161b;
  font-weight: 650;
  box-shadow: 0 4px 18px rgb(0 0 0 / 0.4);
}
.unmute svg { width: 20px; height: 20px; fill: currentColor; }

.stage {
  position: absolute;
  inset: 0;
  display: grid;
  place-items: center;
  pointer-events: none !important;
  text-align: center;
  transition: none !important;
}
.stage[data-look='full'] { background: radial-gradient(120% 120% at 50% 30%, #23222b 0%, #121217 60%, #0b0b0f 100%); }
.stage[data-look='full'][data-picture] { background: rgb(11 11 15 / 0.82); backdrop-filter: blur(14px); }
.stage[data-look='light'] { background: rgb(11 11 15 / 0.34); }
.stage[data-look='play'] { background: radial-gradient(120% 120% at 50% 40%, rgb(35 34 43 / 0.5), rgb(11 11 15 / 0.72)); }
.card { display: grid; justify-items: center; gap: 6px; max-width: min(30rem, 88%); }
.sentence { margin: 0; font-size: 19px; font-weight: 650; line-height: 1.25; text-wrap: balance; }
.detail { margin: 0; color: var(--quiet); font-size: 14px; text-wrap: pretty; overflow-wrap: anywhere; }
.act {
  min-height: 40px;
  margin-top: 10px;
  padding: 8px 20px;
  border-radius: 999px;
  background: var(--ink);
  color: #16161b;
  font-weight: 650;
  pointer-events: auto;
}
.act:hover, .unmute:hover { background: #fff; }
.big {
  display: grid;
  place-items: center;
  width: 84px;
  height: 84px;
  border-radius: 50%;
  background: var(--accent);
  color: #fff;
  pointer-events: auto;
  box-shadow: 0 10px 40px rgb(0 0 0 / 0.45);
  transition: transform 0.15s;
}
.big:hover { transform: scale(1.06); }
.big svg { width: 38px; height: 38px; fill: currentColor; }
.spinner {
  width: 38px;
  height: 38px;
  margin-bottom: 8px;
  border-radius: 50%;
  border: 3px solid rgb(255 255 255 / 0.22);
  border-top-color: var(--ink);
  animation: turn 0.9s linear infinite;
}
@keyframes turn { to { transform: rotate(1turn); } }
.said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

@container (max-width: 520px) {
  media-volume-range, media-pip-button, .total { display: none; }
  .title { padding: 10px 12px 26px; font-size: 13px; }
  .chrome { padding: 30px 2px 2px; }
  media-controller { --media-control-padding: 7px; --media-control-height: 20px; }
  .sentence { font-size: 16px; }
  .detail { font-size: 13px; }
  .card { gap: 3px; }
  .act { margin-top: 6px; min-height: 34px; padding: 5px 16px; }
  .spinner { width: 28px; height: 28px; margin-bottom: 3px; }
  .big { width: 64px; height: 64px; }
  .big svg { width: 28px; height: 28px; }
  .unmute { top: 8px; left: 8px; min-height: 34px; padding: 5px 12px 5px 8px; font-size: 13px; }
}
@container (max-width: 340px) {
  .time { padding: 0 4px; font-size: 12px; }
  .badge { margin: 0 3px; }
}
@media (prefers-reduced-motion: reduce) {
  .spinner { animation-duration: 3s; }
  .big { transition: none; }
}
@media (forced-colors: active) {
  .badge, .act, .unmute, .big { border: 1px solid ButtonText; }
  .badge[data-at='edge'] .dot { background: Highlight; forced-color-adjust: none; }
}
`
