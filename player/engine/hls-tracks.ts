import type Hls from 'hls.js'
import type { NearcastVideo } from './media-element.ts'

/** What was offered to the controls' menus, until closed. */
export interface HlsTracks {
  close(): void
}

/** Puts hls.js's levels and audio tracks where the quality and audio menus look, and takes their choice back. */
export function offerTracks(
  hls: Hls,
  events: (typeof Hls)['Events'],
  video: NearcastVideo,
): HlsTracks {
  const levelOf = new Map<string, number>()

  const clear = () => {
    for (const track of Array.from(video.videoTracks)) video.removeVideoTrack(track)
    for (const track of Array.from(video.audioTracks)) video.removeAudioTrack(track)
    levelOf.clear()
  }
  const offerLevels = () => {
    clear()
    const track = video.addVideoTrack('main')
    track.selected = true
    for (const [index, level] of hls.levels.entries()) {
      const rendition = track.addRendition(
        level.url[0] ?? '',
        level.width,
        level.height,
        level.videoCodec ?? '',
        level.bitrate,
        level.frameRate,
      )
      rendition.id = `${index}`
      levelOf.set(rendition.id, index)
    }
  }
  const offerAudio = () => {
    for (const track of Array.from(video.audioTracks)) video.removeAudioTrack(track)
    for (const [index, audio] of hls.audioTracks.entries()) {
      const track = video.addAudioTrack(
        index === 0 ? 'main' : 'alternative',
        audio.name,
        audio.lang ?? '',
      )
      track.id = `${index}`
      track.enabled = index === hls.audioTrack
    }
  }
  const chooseLevel = () => {
    const selected = video.videoRenditions[video.videoRenditions.selectedIndex]
    const level = selected?.id === undefined ? undefined : levelOf.get(selected.id)
    const next = level ?? -1
    if (hls.nextLevel !== next || hls.autoLevelEnabled !== (next === -1)) hls.nextLevel = next
  }
  const chooseAudio = () => {
    const index = [...video.audioTracks].findIndex((track) => track.enabled)
    if (index >= 0 && index !== hls.audioTrack) hls.audioTrack = index
  }

  hls.on(events.MANIFEST_PARSED, offerLevels)
  hls.on(events.AUDIO_TRACKS_UPDATED, offerAudio)
  video.videoRenditions.addEventListener('change', chooseLevel)
  video.audioTracks.addEventListener('change', chooseAudio)
  return {
    close: () => {
      video.videoRenditions.removeEventListener('change', chooseLevel)
      video.audioTracks.removeEventListener('change', chooseAudio)
      clear()
    },
  }
}
