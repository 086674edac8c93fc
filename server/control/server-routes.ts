import { type ApiContext, type Route, route } from './route.ts'

/** The server itself, and everything the console shows at once. */
export const serverRoutes: readonly Route[] = [
  route({
    method: 'get',
    path: '/health',
    summary: 'State, role, addresses, and what works less than it could',
    status: 200,
    run: (context) => healthOf(context),
  }),
  route({
    method: 'get',
    path: '/overview',
    summary: 'Health, streams, traffic, cache and edges in one answer',
    status: 200,
    run: (context) => {
      const { services, changes, clock } = context
      return {
        at: clock.now(),
        health: healthOf(context),
        streams: services.streams(),
        traffic: services.traffic(),
        cache: services.cache(),
        edges: services.edges(),
        position: changes.position,
      }
    },
  }),
  route({
    method: 'get',
    path: '/config',
    summary: 'The configuration in force, without secrets',
    status: 200,
    run: ({ services }) => services.config(),
  }),
  route({
    method: 'get',
    path: '/edges',
    summary: 'Edge locations and how far each has followed the change log',
    status: 200,
    run: ({ services, changes }) => ({ edges: services.edges(), position: changes.position }),
  }),
]

function healthOf({ services, version, clock }: ApiContext) {
  const health = services.health()
  return { ...health, version, uptimeSeconds: Math.round((clock.now() - health.startedAt) / 1000) }
}
