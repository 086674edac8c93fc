import type { Socket } from 'node:net'
import { buildConnector, Client, type Dispatcher } from 'undici'
import { INFORMATIONAL_MAX, InterimFilter } from './interim-filter.ts'

/**
 * A connection to an origin that may send 1xx nobody asked for: undici's own parser gives up a request at its first 100. It has one request
 * at a time, so that what comes behind `dispatch` is the beginning of its answer.
 */
export class OriginConnection extends Client {
  #filter: InterimFilter

  constructor(url: URL, options: Client.Options & { readonly connect: buildConnector.connector }) {
    const { connect } = options
    super(url, {
      ...options,
      pipelining: 1,
      connect: (target, done) =>
        connect(target, (...result) => {
          const [, socket] = result
          if (socket) this.#filter = filtered(socket)
          done(...result)
        }),
    })
    this.#filter = new InterimFilter()
  }

  override dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    this.#filter.expect()
    return super.dispatch(options, handler)
  }
}

/** What undici reads of the socket goes through a filter. */
function filtered(socket: Socket): InterimFilter {
  const filter = new InterimFilter()
  const read = socket.read.bind(socket)
  socket.read = (size?: number): Buffer | null => {
    for (;;) {
      const chunk: Buffer | null = read(size)
      if (chunk === null) return null
      const { bytes, fits } = filter.take(chunk)
      if (!fits) {
        socket.destroy(new Error(`more than ${INFORMATIONAL_MAX} answers of 1xx`))
        return null
      }
      if (bytes.length > 0) return bytes
    }
  }
  return filter
}
