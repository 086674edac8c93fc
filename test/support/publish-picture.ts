import { spawn } from 'node:child_process'

export interface FfmpegRun {
  /** Ends it and resolves when it has gone. */
  stop(): Promise<void>
}

/** A live test picture with a tone, a key frame each second, from the real ffmpeg to an RTMP address, until stopped. */
export function publishPicture(url: string): FfmpegRun {
  const child = spawn(
    'ffmpeg',
    [
      ['-nostdin', '-v', 'error', '-re', '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=30'],
      ['-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'],
      ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-g', '30'],
      ['-pix_fmt', 'yuv420p', '-c:a', 'aac', '-f', 'flv', url],
    ].flat(),
    { stdio: 'ignore' },
  )
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  return {
    stop: () => {
      child.kill('SIGKILL')
      return gone
    },
  }
}
