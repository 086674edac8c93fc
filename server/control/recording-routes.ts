import * as z from 'zod'
import { NearcastError } from '../lib/errors.ts'
import { type ApiContext, type Route, route } from './route.ts'
import type { ClipMoment, RecordingReport, RecordingServices } from './services.ts'

const EXPECTED =
  'a date such as 2026-11-27T07:30:00Z, milliseconds since 1970, or seconds before the live edge'
/** Seconds are never so many: thirty years. */
const MILLISECONDS_FROM = 1e9

const moment = (description: string) =>
  z
    .union([
      z.number().min(-8.64e15).max(8.64e15),
      z
        .string()
        .max(40)
        .refine((text) => !Number.isNaN(Date.parse(text))),
    ])
    .meta({ expected: EXPECTED, description })

/** What was recorded of live streams, and clips of it. */
export const recordingRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/recordings',
    summary: 'Recordings and clips, the newest first; each plays at its `playlist`',
    query: { stream: 'Those of one stream.' },
    status: 200,
    run: (context, { query }) => listed(context, query['stream'] ?? ''),
  }),
  route({
    method: 'delete',
    path: '/recordings/{name}/{start}',
    summary: 'Remove a recording that is complete; clips of it stay',
    status: 204,
    run: (context, { params }) =>
      servicesOf(context).remove(`recordings/${params['name']}/${params['start']}`),
  }),
  route({
    method: 'get',
    path: '/streams/{name}/clips',
    summary: 'Clips of a stream, the newest first',
    status: 200,
    run: (context, { params }) => ({ clips: listed(context, params['name'] ?? '').clips }),
  }),
  route({
    method: 'post',
    path: '/streams/{name}/clips',
    summary: 'Make a stored item of a part of what is recorded, at once and without another encode',
    body: z.strictObject({
      from: moment('Begin; the clip starts with the segment that has it.'),
      to: moment('End; the live edge unless given.').default(0),
      recording: z.string().max(40).optional().meta({
        expected: 'the start of a recording, such as 20261127T073000Z',
        description: 'The recording to cut from; the one that has `from` unless given.',
      }),
    }),
    status: 201,
    run: async (context, { params, body }) => {
      const report = await servicesOf(context).clip({
        stream: params['name'] ?? '',
        recording: body.recording,
        from: momentOf(body.from),
        to: momentOf(body.to),
      })
      context.log.info('clip made', { stream: report.stream, clip: report.key })
      return withPlaylist(report)
    },
  }),
  route({
    method: 'delete',
    path: '/streams/{name}/clips/{id}',
    summary: 'Remove a clip',
    status: 204,
    run: (context, { params }) =>
      servicesOf(context).remove(`recordings/${params['name']}/clips/${params['id']}`),
  }),
]

function listed(context: ApiContext, stream: string) {
  const { recordings, clips } = servicesOf(context).list()
  const asked = (all: readonly RecordingReport[]) =>
    all.filter((one) => stream === '' || one.stream === stream).map(withPlaylist)
  return { recordings: asked(recordings), clips: asked(clips) }
}

function withPlaylist(report: RecordingReport): RecordingReport & { readonly playlist: string } {
  return { ...report, playlist: `/vod/${report.key}/index.m3u8` }
}

function momentOf(value: number | string): ClipMoment {
  if (typeof value === 'string') return { at: Date.parse(value) }
  const size = Math.abs(value)
  return size < MILLISECONDS_FROM ? { secondsBack: size } : { at: value }
}

function servicesOf({ services }: ApiContext): RecordingServices {
  if (services.recordings) return services.recordings
  throw new NearcastError('not-found', 'this role records nothing; ask the origin')
}
