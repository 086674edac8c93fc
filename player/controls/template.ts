import { STYLE } from './style.ts'

const PLAY = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M7 4.5v15l13-7.5z"/></svg>'
const SOUND_OFF =
  '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M3 9v6h4l5 5V4L7 9zm12.2-.2 2.6 2.6 2.6-2.6 1.4 1.4-2.6 2.6 2.6 2.6-1.4 1.4-2.6-2.6-2.6 2.6-1.4-1.4 2.6-2.6-2.6-2.6z"/></svg>'

const GEAR =
  '<svg slot="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="M19.4 13a7.6 7.6 0 0 0 0-2l2.1-1.6-2-3.5-2.5 1a7.7 7.7 0 0 0-1.7-1L15 3.2h-4l-.4 2.7a7.7 7.7 0 0 0-1.7 1l-2.5-1-2 3.5L6.5 11a7.6 7.6 0 0 0 0 2l-2.1 1.6 2 3.5 2.5-1a7.7 7.7 0 0 0 1.7 1l.4 2.7h4l.4-2.7a7.7 7.7 0 0 0 1.7-1l2.5 1 2-3.5zM13 15.4a3.4 3.4 0 1 1 0-6.8 3.4 3.4 0 0 1 0 6.8z" transform="translate(-1)"/></svg>'

/** Everything visible. Fixed text only: whatever comes from outside is put in later as text or as an attribute's value. */
export const TEMPLATE = /* html */ `
<style>${STYLE}</style>
<media-controller nohotkeys noautoseektolive nomutedpref>
  <nearcast-video slot="media" part="video" playsinline></nearcast-video>
  <img class="poster" slot="poster" part="poster" alt="" />
  <div class="title" slot="top-chrome" part="title"></div>
  <div class="stage" slot="centered-chrome" noautohide>
    <div class="card">
      <div class="spinner" hidden></div>
      <p class="sentence"></p>
      <p class="detail"></p>
      <button class="act" type="button"></button>
      <button class="big" type="button" aria-label="Play">${PLAY}</button>
    </div>
  </div>
  <button class="unmute" slot="top-chrome" noautohide type="button" hidden>${SOUND_OFF}Tap to unmute</button>
  <media-settings-menu hidden anchor="auto">
    <media-settings-menu-item class="quality">
      Quality
      <media-rendition-menu slot="submenu" hidden><div slot="title">Quality</div></media-rendition-menu>
    </media-settings-menu-item>
    <media-settings-menu-item class="audio">
      Audio
      <media-audio-track-menu slot="submenu" hidden><div slot="title">Audio</div></media-audio-track-menu>
    </media-settings-menu-item>
    <media-settings-menu-item class="speed">
      Speed
      <media-playback-rate-menu slot="submenu" rates="0.5 0.75 1 1.25 1.5 2" hidden><div slot="title">Speed</div></media-playback-rate-menu>
    </media-settings-menu-item>
  </media-settings-menu>
  <div class="chrome" part="bar">
    <media-time-range></media-time-range>
    <media-control-bar>
      <media-play-button></media-play-button>
      <media-mute-button></media-mute-button>
      <media-volume-range></media-volume-range>
      <span class="time"><span class="now">0:00</span><span class="total"></span></span>
      <button class="badge" type="button" hidden><span class="dot"></span><span class="word">LIVE</span><span class="latency"></span></button>
      <span class="gap"></span>
      <media-captions-button></media-captions-button>
      <media-settings-menu-button>${GEAR}</media-settings-menu-button>
      <media-pip-button></media-pip-button>
      <media-fullscreen-button></media-fullscreen-button>
    </media-control-bar>
  </div>
</media-controller>
<div class="said" role="status"></div>
`
