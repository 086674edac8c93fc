import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { access, mkdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface FilmOptions {
  readonly seconds?: number
  readonly rate?: number
  readonly size?: string
  /** Pictures from key frame to key frame. */
  readonly gop?: number
  readonly bframes?: number
  readonly video?: boolean
  readonly audio?: boolean
  readonly layout?: 'moov-last' | 'moov-first' | 'fragmented'
  readonly extension?: 'mp4' | 'mov' | 'mkv' | 'ts' | 'flv' | 'webm' | 'mp3'
  /** Output arguments that go last, so that they win. */
  readonly extra?: readonly string[]
}

/** A film of a test picture with running numbers and a beep, made by ffmpeg once for these options; gives its path. */
export function makeFilm(options: FilmOptions = {}): Promise<string> {
  const { seconds = 4, rate = 25, size = '160x120', gop = 25, bframes = 0 } = options
  const { video = true, audio = true, layout = 'moov-last', extension = 'mp4' } = options
  const picture = ['-f', 'lavfi', '-i', `testsrc=size=${size}:rate=${rate}:duration=${seconds}`]
  const sound = [
    '-f',
    'lavfi',
    '-i',
    `sine=frequency=440:beep_factor=4:duration=${seconds}:r=48000`,
  ]
  const coding = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-threads', '1']
  const order = ['-g', String(gop), '-bf', String(bframes), '-sc_threshold', '0']
  const flags = { 'moov-last': [], 'moov-first': ['+faststart'], fragmented: [FRAGMENTED] }[layout]
  return convertFilm(
    [...(video ? picture : []), ...(audio ? sound : [])],
    [
      ...(video ? [...coding, ...order] : []),
      ...(audio ? ['-c:a', 'aac', '-b:a', '48k'] : []),
      ...flags.flatMap((flag) => ['-movflags', flag]),
      ...(options.extra ?? []),
    ],
    extension,
  )
}

const FRAGMENTED = '+frag_keyframe+empty_moov+default_base_moof'

/** Runs ffmpeg from `input` arguments to a file, unless it did so before with the same arguments. */
export async function convertFilm(
  input: readonly string[],
  output: readonly string[],
  extension: string,
): Promise<string> {
  const args = ['-v', 'error', '-nostdin', ...input, ...output, '-fflags', '+bitexact']
  const name = createHash('sha256').update(JSON.stringify(args)).digest('hex').slice(0, 24)
  const folder = join(tmpdir(), 'nearcast-test-media')
  const path = join(folder, `${name}.${extension}`)
  try {
    await access(path)
    return path
  } catch {
    await mkdir(folder, { recursive: true })
    // The threads of a test run share the process, and each has its own modules.
    const half = join(folder, `${name}.${randomUUID()}.${extension}`)
    try {
      await run('ffmpeg', [...args, '-y', half], { maxBuffer: 1e6 })
      await rename(half, path)
    } finally {
      await rm(half, { force: true })
    }
    return path
  }
}

/** One packet as ffprobe sees it. */
export interface Packet {
  readonly seconds: number
  readonly size: number
  readonly key: boolean
}

/** The packets of a kind of stream in order of presentation. */
export async function packetsOf(path: string, kind: 'v' | 'a', stream = 0): Promise<Packet[]> {
  const lines = await packetLines(path, ['-select_streams', `${kind}:${stream}`])
  return inOrder(lines.map(([, , ...packet]) => packet))
}

/** Those of its first picture and its first sound, of one run of ffprobe: most of what a run costs is its start. */
export async function packetsOfBoth(path: string): Promise<{ video: Packet[]; audio: Packet[] }> {
  const lines = await packetLines(path, [])
  const firstOf = (kind: string) => {
    const ofKind = lines.filter(([type]) => type === kind)
    const first = Math.min(...ofKind.map(([, index]) => Number(index)))
    return inOrder(ofKind.flatMap(([, index, ...rest]) => (Number(index) === first ? [rest] : [])))
  }
  return { video: firstOf('video'), audio: firstOf('audio') }
}

/** Type, index of the stream, seconds, size and flags of each packet. */
async function packetLines(path: string, select: readonly string[]): Promise<string[][]> {
  const entries = 'packet=codec_type,stream_index,pts_time,size,flags'
  const { stdout } = await run(
    'ffprobe',
    ['-v', 'error', ...select, '-show_entries', entries, '-of', 'csv=p=0', path],
    { maxBuffer: 1e8 },
  )
  const lines = stdout.split('\n').filter((line) => line !== '')
  return lines.map((line) => line.split(','))
}

function inOrder(packets: readonly (readonly string[])[]): Packet[] {
  return packets
    .map(([seconds = '', size = '', flags = '']) => ({
      seconds: Number(seconds),
      size: Number(size),
      key: flags.startsWith('K'),
    }))
    .sort((a, b) => a.seconds - b.seconds)
}

/** A hash of each decoded picture in order; throws when ffmpeg has anything to complain about. */
export async function picturesOf(path: string): Promise<string[]> {
  const { stdout, stderr } = await run(
    'ffmpeg',
    [
      ...words('-v error -nostdin -i', path),
      ...words('-map 0:v:0 -fps_mode passthrough -enc_time_base -1 -f framemd5 -'),
    ],
    { maxBuffer: 1e8 },
  )
  if (stderr !== '') throw new Error(stderr)
  return stdout
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(',').at(-1)?.trim() ?? '')
}

/** Arguments that hold no spaces, and one that may. */
function words(line: string, last?: string): string[] {
  return [...line.split(' '), ...(last === undefined ? [] : [last])]
}
