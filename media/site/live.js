// Says whether the stream `main` is live, and fills in the host as the browser knows it. The RTMP port is not known here.
const badge = document.getElementById('live')
const text = document.getElementById('live-text')

document.getElementById('server').textContent = `rtmp://${location.hostname}:1935/live`
for (const element of document.querySelectorAll('.origin')) element.textContent = location.origin

const copy = document.getElementById('copy')
copy.addEventListener('click', () => {
  // navigator.clipboard is for https and this machine only; this page is also opened by address in a network.
  getSelection().selectAllChildren(document.getElementById('code'))
  copy.textContent = document.execCommand('copy') ? 'Copied' : 'Ctrl+C copies it'
  setTimeout(() => {
    copy.textContent = 'Copy'
  }, 1500)
})

async function look() {
  if (!document.hidden) {
    const answer = await fetch('/live/main/index.m3u8', { cache: 'no-store' }).catch(() => undefined)
    const live = answer?.ok ?? false
    badge.dataset.live = live ? 'yes' : 'no'
    text.textContent = live ? 'main is live: watch' : 'main is not live'
  }
  setTimeout(look, 4000 + Math.random() * 2000)
}
look()

// Media that lies in a bucket or another folder has no sample: then the page says where its films are.
async function checkSample() {
  const answer = await fetch('/vod/sample.mp4/index.m3u8').catch(() => undefined)
  if (answer?.status !== 404) return
  document.querySelector('.frame').remove()
  document.querySelector('.lead').textContent =
    'Films of your bucket or folder play at /watch/vod/NAME.mp4, cut into HLS while you watch.'
  for (const link of document.querySelectorAll('a[href="/watch/vod/sample.mp4"]')) link.remove()
}
checkSample()
