import { ApiError, call, forgetToken, keepToken, type Overview, readToken } from './api.ts'
import { openAsk, refreshDistributions, showEdges } from './delivery-view.ts'
import { byId, h, renderOnce } from './dom.ts'
import { duration } from './format.ts'
import { openInvalidate, refreshInvalidations } from './invalidate-view.ts'
import { openPublish, refreshKeys, showPublish } from './publish-view.ts'
import { refreshRecordings, showRecordings } from './recordings-view.ts'
import { showStreams } from './streams-view.ts'
import { whileSeen } from './timer.ts'
import { showTraffic } from './traffic-view.ts'

const POLL_MS = 1000
const SLOW_POLL_MS = 10_000

const login = byId('login')
const desk = byId('desk')
const leave = byId('leave')
const status = byId('status')
let open = false
let asking = false

function start(): void {
  login.addEventListener('submit', (event) => {
    event.preventDefault()
    const input = byId('token')
    if (input instanceof HTMLInputElement) keepToken(input.value.trim())
    void enter(true)
  })
  leave.addEventListener('click', () => {
    forgetToken()
    location.reload()
  })
  whileSeen(POLL_MS, () => {
    // A slow server is not asked again before it answered.
    if (open && !asking) void refresh()
  })
  whileSeen(SLOW_POLL_MS, () => {
    if (open)
      void Promise.all([
        refreshDistributions(),
        refreshInvalidations(),
        refreshKeys(),
        refreshRecordings(),
      ])
  })
  if (readToken() === undefined) askForToken('')
  else void enter(false)
}

async function enter(typed: boolean): Promise<void> {
  try {
    show(await call<Overview>('GET', '/overview'))
  } catch (error) {
    if (error instanceof ApiError && error.code === 'unauthorized')
      askForToken(typed ? 'That is not the token.' : '')
    else askForToken(error instanceof Error ? error.message : String(error))
    return
  }
  // The form was sent twice.
  if (open) return
  login.hidden = true
  desk.hidden = false
  leave.hidden = false
  open = true
  openPublish()
  openInvalidate()
  openAsk()
  await Promise.all([refreshDistributions(), refreshInvalidations(), refreshRecordings()])
}

function askForToken(problem: string): void {
  login.hidden = false
  byId('login-error').textContent = problem
  byId('token').focus()
}

async function refresh(): Promise<void> {
  asking = true
  try {
    show(await call<Overview>('GET', '/overview'))
  } catch (error) {
    status.dataset['state'] = 'lost'
    status.textContent = error instanceof Error ? error.message : String(error)
    // A new start with a new data folder has another token.
    if (error instanceof ApiError && error.code === 'unauthorized') location.reload()
  } finally {
    asking = false
  }
}

function show(overview: Overview): void {
  const { status: state, role, version, uptimeSeconds, warnings } = overview.health
  status.dataset['state'] = state
  status.textContent = `${state} · ${role === 'all' ? 'all roles' : role} · ${version} · up ${duration(uptimeSeconds)}`
  renderOnce(byId('warnings'), warnings, () => warnings.map((text) => h('li', {}, text)))
  showTraffic(overview)
  showStreams(overview)
  showPublish(overview)
  showRecordings(overview)
  showEdges(overview)
}

start()
