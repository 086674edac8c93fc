import type { Behavior, WebDistribution } from '../../server/distribution/types.ts'

/** A behavior with CloudFront's defaults and what the test is about. */
export function behavior(changes: Partial<Behavior> = {}): Behavior {
  return {
    path: '*',
    origin: 'site',
    methods: 'get',
    ttl: { min: 0, default: 86_400, max: 31_536_000 },
    key: { query: 'none', queryOrder: 'kept', headers: 'none', cookies: 'none' },
    compress: false,
    strip: '',
    errors: {},
    semantics: 'cloudfront',
    ...changes,
  }
}

/** An enabled web distribution for all names with one behavior. */
export function web(changes: Partial<WebDistribution> = {}): WebDistribution {
  return {
    kind: 'web',
    id: 'default',
    enabled: true,
    hosts: ['*'],
    defaultRootObject: '',
    behaviors: [behavior()],
    ...changes,
  }
}
