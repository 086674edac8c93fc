import * as z from 'zod'
import {
  bytes,
  choice,
  flag,
  pattern,
  port,
  seconds,
  text,
  whole,
  workers,
} from '../distribution/option.ts'
import { distributionSchema, idSchema, originSchema } from '../distribution/schema.ts'

const KIB = 2 ** 10
const MIB = 2 ** 20
const TIB = 2 ** 40
const HOST = { expected: 'an address to listen on, such as 0.0.0.0, 127.0.0.1 or ::' }
const LISTEN = /^[a-z0-9.:_-]{1,253}$/i

/** A folder, or `s3://bucket/prefix`. */
export const MEDIA =
  /^(?:s3:\/\/(?<bucket>[a-z0-9][a-z0-9._-]{1,254})(?:\/(?<prefix>[^\p{Cc}]*))?|(?![a-z][a-z0-9+.-]*:\/\/)[^\p{Cc}]+)$/iu

const host = (description: string, preset: string) =>
  pattern(LISTEN, { ...HOST, description }).default(preset)
const url = (protocols: RegExp, expected: string, description: string, env?: string) =>
  z
    .string()
    .max(2048)
    .refine((value) => URL.canParse(value) && protocols.test(value))
    .meta({ description, expected, secret: true, ...(env === undefined ? {} : { env }) })

const streamName = (description: string) =>
  pattern(/^[A-Za-z0-9_-]{1,64}$/, {
    description,
    expected: 'a stream name of letters, digits, - and _ (at most 64)',
  })

const rung = z.strictObject({
  height: whole(16, 4320, {
    description: 'Lines of its shorter side; not listed for sources that have no more.',
  }),
  bitsPerSecond: whole(50_000, 200_000_000, {
    description: 'At most; by its lines unless given.',
  }).optional(),
})

/** Everything that `nearcast.yaml` may say: one row an option. The docs and the JSON Schema are made from it. */
export const settingsSchema = z.strictObject({
  role: choice(['all', 'origin', 'edge', 'control'], {
    description: 'What this process does.',
    env: 'NEARCAST_ROLE',
    flag: '--role',
  }).default('all'),
  data: text({
    description: 'Folder for what the server keeps: secrets, keys, the change log, live windows.',
    expected: 'a folder',
    env: 'NEARCAST_DATA_DIR',
    flag: '--data',
  }).default('./data'),
  media: pattern(MEDIA, {
    description:
      'Stored media, short for `origins.media`: a folder, or `s3://bucket/prefix`. The `media` folder of the installation unless given.',
    expected: 'a folder or s3://bucket/prefix',
    env: 'NEARCAST_MEDIA',
  }).optional(),
  demo: flag({
    description: 'Publish a live test picture to itself.',
    flag: '--demo',
  }).default(false),
  ffmpeg: text({
    description: 'The ffmpeg program; the one on the PATH unless given.',
    expected: 'a file',
    env: 'FFMPEG_PATH',
  }).optional(),
  http: z
    .strictObject({
      host: host('Address for viewers; 0.0.0.0 is IPv6 too.', '0.0.0.0'),
      port: port({ description: 'Port for viewers.', env: 'NEARCAST_HTTP_PORT' }).default(8080),
      workers: workers({
        description:
          'Processes that answer viewers on the one port: a number, or `auto` for one each core; 0 for none, the server answers itself. They share `cache.memoryBytes`.',
        env: 'NEARCAST_HTTP_WORKERS',
        flag: '--workers',
      }).prefault(0),
    })
    .prefault({}),
  https: z
    .strictObject({
      host: host('Address for viewers.', '0.0.0.0'),
      port: port({
        description: 'Port for viewers over TLS; off unless given. Not in this version.',
        env: 'NEARCAST_HTTPS_PORT',
      }),
      cert: text({
        description: 'PEM file with the certificate and its chain.',
        expected: 'a file',
      }),
      key: text({ description: 'PEM file with the private key.', expected: 'a file' }),
    })
    .optional(),
  rtmp: z
    .strictObject({
      host: host('Address for publishers, and for players of live streams.', '0.0.0.0'),
      port: port({ description: 'Port for RTMP.', env: 'NEARCAST_RTMP_PORT' }).default(1935),
    })
    .prefault({}),
  rtmps: z
    .strictObject({
      host: host('Address for publishers and players over TLS.', '0.0.0.0'),
      port: port({
        description: 'Port for RTMPS; off unless given. 443 or 1936 is usual.',
        env: 'NEARCAST_RTMPS_PORT',
      }),
      cert: text({
        description: 'PEM file with the certificate and its chain; read anew when it changes.',
        expected: 'a file',
      }),
      key: text({ description: 'PEM file with the private key.', expected: 'a file' }),
    })
    .optional(),
  srt: z
    .strictObject({
      host: host('Address for SRT callers.', '0.0.0.0'),
      streams: z
        .array(
          z.strictObject({
            name: streamName('Name of the stream that is published.'),
            port: port({ description: 'UDP port of this stream alone.' }),
            passphrase: pattern(/^[\x21-\x7e]{10,79}$/, {
              description: 'What its caller must know; without it anybody may publish.',
              expected: '10 to 79 visible characters',
              secret: true,
            }).optional(),
          }),
        )
        .max(64)
        .meta({
          description:
            'Streams that are published over SRT (MPEG-TS with H.264 and AAC), by ffmpeg; none unless given.',
          expected: 'a list of streams, each with a name and a port',
        })
        .default([]),
    })
    .prefault({}),
  pulls: z
    .array(
      z.strictObject({
        name: streamName('Name of the stream here.'),
        url: url(
          /^(?:rtmps?|rtsp|https?):/i,
          'an rtmp://, rtmps://, rtsp:// or http(s):// address',
          'Where it comes from: RTMP, RTSP, or an HLS playlist; H.264 with AAC.',
        ),
        always: flag({
          description:
            'Fetch it also while nobody watches; else it ends 30 s after the last viewer.',
        }).default(false),
      }),
    )
    .max(64)
    .meta({
      description: 'Streams that are fetched from elsewhere when somebody watches.',
      expected: 'a list of streams, each with a name and a url',
    })
    .default([]),
  hooks: z
    .array(
      z.strictObject({
        url: url(/^https?:/i, 'an http:// or https:// address', 'Where events are posted.'),
        events: z
          .array(z.enum(['publish', 'unpublish', 'record', 'error']))
          .min(1)
          .max(4)
          .meta({
            description: 'Which events; `record` is the start and the end of a recording.',
            expected: 'a list of publish, unpublish, record and error',
          })
          .default(['publish', 'unpublish', 'record', 'error']),
        secret: pattern(/^[\x21-\x7e]{8,256}$/, {
          description: 'What posts are signed with (HMAC-SHA256); see `docs/HOOKS.md`.',
          expected: '8 to 256 visible characters, better 32',
          secret: true,
        }),
      }),
    )
    .max(16)
    .meta({
      description: 'Servers that are told what happens to streams, by signed posts.',
      expected: 'a list of hooks, each with a url and a secret',
    })
    .default([]),
  admission: z
    .strictObject({
      url: url(
        /^https?:/i,
        'an http:// or https:// address',
        'A server that is asked before each publisher begins, and may refuse it.',
      ),
      secret: pattern(/^[\x21-\x7e]{8,256}$/, {
        description: 'What the question is signed with (HMAC-SHA256); see `docs/HOOKS.md`.',
        expected: '8 to 256 visible characters, better 32',
        secret: true,
      }),
      timeoutSeconds: seconds(0.1, 30, {
        description: 'Without an answer for so long the publisher is refused.',
      }).prefault('3s'),
    })
    .optional(),
  control: z
    .strictObject({
      host: host('Address of console, API and metrics.', '127.0.0.1'),
      port: port({
        description: 'Port of console, API and metrics.',
        env: 'NEARCAST_CONTROL_PORT',
      }).default(8090),
    })
    .prefault({}),
  origin: z
    .strictObject({
      host: host('Address for edges on other machines.', '127.0.0.1'),
      port: port({
        description: 'Port for edges on other machines.',
        env: 'NEARCAST_ORIGIN_PORT',
      }).default(0),
    })
    .prefault({}),
  parent: z
    .strictObject({
      url: url(
        /^https?:/i,
        'an http:// or https:// address',
        'Where an edge finds its origin: the `origin` address of the other process.',
        'NEARCAST_PARENT',
      ),
      token: pattern(/^[\x21-\x7e]{8,512}$/, {
        description: 'The `edgeToken` of the other process.',
        expected: 'a token of at least 8 characters',
        secret: true,
        env: 'NEARCAST_PARENT_TOKEN',
      }),
    })
    .optional(),
  redis: z
    .strictObject({
      url: url(
        /^rediss?:/i,
        'a redis:// or rediss:// address',
        'Redis or Valkey that carries the change log between machines; a file unless given. Not in this version.',
        'NEARCAST_REDIS_URL',
      ),
    })
    .optional(),
  publish: z
    .strictObject({
      auth: choice(['keys', 'open'], {
        description:
          'Who may publish: holders of a stream key, or (`open`) everyone, the key being the name.',
      }).default('keys'),
    })
    .prefault({}),
  live: z
    .strictObject({
      partSeconds: seconds(0.05, 5, {
        description: 'Length of a part; the frame rate decides what is possible.',
      }).prefault('200ms'),
      dvrSeconds: seconds(0, 604_800, {
        description:
          'How far back `dvr.m3u8` goes; what is older than the main playlist lies in `live-archive` of the data folder.',
      }).prefault('2h'),
      reconnectSeconds: seconds(0, 86_400, {
        description: 'How long a stream waits for its publisher to come back before it ends.',
      }).prefault('1m'),
      slateSeconds: seconds(0, 3600, {
        description:
          'After so long without a frame a slate (“We’ll be right back”) fills the gap until the publisher is back; 0 shows none.',
      }).prefault('3s'),
      ladder: z
        .union([z.enum(['auto', 'off']), z.array(rung).min(1).max(8)])
        .meta({
          description:
            'Smaller renditions beside the source, made by ffmpeg of H.264. `auto`: 720, 480 and 360 lines as far as they are at most 0.8 of the source, where a trial encode and idle processors say that the machine has room; a list is tried whatever the machine has. What it cannot keep up with is given up, the largest first.',
          expected: 'auto, off or a list such as [{ height: 480 }]',
        })
        .default('off'),
      record: pattern(/^[a-z0-9][a-z0-9_-]{0,63}$/i, {
        description:
          'Origin that live streams are recorded to, below `recordings/NAME/`; `off` records nothing.',
        expected: 'an origin (s3 or file), or off',
      }).default('off'),
      recordQueueBytes: bytes(MIB, 1024 * TIB, {
        description:
          'Disk in the data folder that recordings may wait on, all together, while their origin cannot be written; above it the oldest segments are given up and are gaps.',
      }).prefault('4GiB'),
      retention: seconds(0, 3_153_600_000, {
        description:
          'How long a recording is kept after its end; 0 keeps it. Clips stay until they are removed.',
      }).prefault(0),
    })
    .prefault({}),
  vod: z
    .strictObject({
      origin: pattern(/^[a-z0-9][a-z0-9_-]{0,63}$/i, {
        description: 'Origin (s3 or file) that stored media is read from.',
        expected: 'an origin (s3 or file)',
      }).default('media'),
    })
    .prefault({}),
  cache: z
    .strictObject({
      memoryBytes: bytes(8 * MIB, TIB, { description: 'Memory for the cache.' }).prefault('512MiB'),
      diskBytes: bytes(0, 1024 * TIB, {
        description:
          'Disk for the cache, in the data folder, at most half of what is free; 0 for none. With workers, the main process keeps it for all of them; an edge with workers has none.',
      }).prefault('10GiB'),
      sliceBytes: bytes(64 * KIB, 64 * MIB, {
        description: 'Large objects are kept in slices of this size.',
      }).prefault('1MiB'),
    })
    .prefault({}),
  s3: z
    .strictObject({
      endpoint: url(
        /^https?:\/\/[^/?#@]*(?:[/?#]|$)/i,
        'an http:// or https:// address without a password',
        'S3 service of origins that name none; AWS unless given.',
        'NEARCAST_S3_ENDPOINT',
      ).optional(),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: choice(['debug', 'info', 'warn', 'error', 'silent'], {
        description: 'Least important line that is written.',
        env: 'NEARCAST_LOG',
      }).default('info'),
      access: text({
        description:
          'File that gets a line for each request of a viewer, in the form of CloudFront’s standard log; it may be moved away at any time.',
        expected: 'a file',
      }).optional(),
    })
    .prefault({}),
  origins: z
    .record(idSchema, originSchema)
    .meta({
      description:
        'Where content comes from, by name. `media` and `site` are there unless given; `live`, `vod` and `pages` are built in.',
      expectedKey: 'a name of letters, digits, - and _ (at most 64)',
    })
    .default({}),
  edges: z
    .array(
      z.strictObject({
        id: idSchema,
        at: z
          .tuple([z.number().min(-90).max(90), z.number().min(-180).max(180)])
          .meta({
            description: 'Latitude and longitude in degrees.',
            expected: '[latitude, longitude]',
          })
          .optional(),
        url: z
          .string()
          .max(2048)
          .refine((value) => URL.canParse(value) && /^https?:/i.test(value))
          .meta({
            description: 'Its address for viewers.',
            expected: 'an http:// or https:// address',
          }),
      }),
    )
    .max(1000)
    .meta({
      description: 'Edge locations; alone there is one, this process.',
      expected: 'a list of edges',
    })
    .default([]),
  distributions: z
    .array(distributionSchema)
    .max(200)
    .meta({
      description: 'What viewers are given, by host name; these replace the default ones wholly.',
      expected: 'a list of distributions',
    })
    .optional(),
})
