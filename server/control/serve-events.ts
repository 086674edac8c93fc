import type { Request, Response } from 'express'
import { NearcastError } from '../lib/errors.ts'
import type { EventFeed, NumberedEvent } from './event-feed.ts'
import type { Described } from './openapi.ts'

const BEAT_MS = 15_000
const READERS_MAX = 64
const TYPE = 'text/event-stream'

/** The row of the API that is no question and answer. */
export const EVENTS: Described = {
  method: 'get',
  path: '/events',
  summary: 'What happens to streams, as it happens',
  fields: {
    'Last-Event-ID': 'Id of the last event that was read: what came after it is told first.',
  },
  status: 200,
  type: TYPE,
}

/**
 * Answers with events as they happen: text/event-stream, WHATWG HTML §9.2. A reader that does not read holds up its own
 * connection alone, because nothing is queued for it; past 64 readers it is `limit-exceeded`. Ends with `closing`.
 */
export function serveEvents(
  feed: EventFeed,
  closing: AbortSignal,
): (request: Request, response: Response) => Promise<void> {
  let readers = 0
  return async (request, response) => {
    if (readers >= READERS_MAX)
      throw new NearcastError('limit-exceeded', `${readers} already read events`)
    readers += 1
    const gone = new AbortController()
    const leave = () => gone.abort()
    response.once('close', leave)
    closing.addEventListener('abort', leave, { once: true })
    try {
      response.set({ 'content-type': TYPE, 'cache-control': 'no-store' })
      response.flushHeaders()
      const lastId = request.get('last-event-id')
      for await (const one of feed.follow(lastId, BEAT_MS, gone.signal)) {
        if (!response.write(writeEvent(one))) await drained(response, gone.signal)
      }
    } finally {
      readers -= 1
      closing.removeEventListener('abort', leave)
      response.end()
    }
  }
}

/** A comment is a heartbeat; JSON has no line breaks, so one data line is enough. */
function writeEvent(one: NumberedEvent | 'missed' | 'beat'): string {
  if (one === 'beat') return ':\n\n'
  if (one === 'missed') return 'event: missed\ndata: {}\n\n'
  const { id, at, event } = one
  return `id: ${id}\nevent: ${event.kind}\ndata: ${JSON.stringify({ id, at, ...event })}\n\n`
}

function drained(response: Response, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const done = () => {
      response.off('drain', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    response.once('drain', done)
    signal.addEventListener('abort', done, { once: true })
  })
}
