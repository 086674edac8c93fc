// One table. A folder may import itself and what its row names; everything else is an error.
const server = {
  lib: [],
  http: ['lib'],
  codecs: ['lib'],
  formats: ['codecs', 'lib'],
  rtmp: ['formats', 'codecs', 'lib'],
  stream: ['codecs', 'lib'],
  storage: ['lib'],
  cache: ['lib'],
  distribution: ['http', 'lib'],
  routing: ['distribution', 'http', 'lib'],
  control: ['distribution', 'http', 'lib'],
  edge: ['cache', 'distribution', 'storage', 'http', 'formats', 'lib'],
  origin: ['http', 'lib'],
  pages: ['http', 'lib'],
  cli: ['config', 'lib'],
  vod: ['storage', 'http', 'formats', 'codecs', 'lib'],
  transcode: ['stream', 'storage', 'formats', 'codecs', 'lib'],
  live: ['stream', 'storage', 'http', 'formats', 'codecs', 'lib'],
  ingest: ['rtmp', 'stream', 'vod', 'formats', 'codecs', 'lib'],
  config: ['distribution', 'lib'],
}
const player = {
  console: ['element'],
  element: ['controls', 'store', 'engine'],
  controls: ['store'],
  store: ['engine'],
  engine: [],
}
const layers = (root, table) =>
  Object.entries(table).map(([folder, allowed]) => ({
    name: `${root}-${folder}`,
    comment: `${root}/${folder} may import only ${allowed.join(', ') || 'nothing'} (ARCHITECTURE.md)`,
    severity: 'error',
    from: { path: `^${root}/${folder}/` },
    to: {
      path: `^(server|player|test)/`,
      pathNot: [folder, ...allowed].map((f) => `^${root}/${f}/`),
    },
  }))
const only = (pkg, where) => ({
  name: `only-${where}-uses-${pkg}`,
  severity: 'error',
  // Tests speak to a server or a library of their own choice.
  from: { pathNot: `^(${where}|test/)` },
  to: { path: `(^|/)node_modules/${pkg}/|^${pkg}$` },
})
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-code-from-test',
      severity: 'error',
      from: { path: '^(server|player)/' },
      to: { path: '^test/' },
    },
    {
      name: 'unlisted-folder',
      comment: 'a new folder needs its row in the table',
      severity: 'error',
      from: { path: '^server/[^/]+/', pathNot: Object.keys(server).map((f) => `^server/${f}/`) },
      to: {},
    },
    {
      name: 'nobody-imports-main',
      severity: 'error',
      from: { pathNot: '^(server/(cli/|main)|test/)' },
      to: { path: '^server/main' },
    },
    ...layers('server', server),
    ...layers('player', player),
    only('express', 'server/control/'),
    only('fluent-ffmpeg', 'server/transcode/'),
    only('@aws-sdk/client-s3', 'server/storage/s3'),
    only('node-media-server', 'server/rtmp/'),
    only('hls.js', 'player/engine/'),
    only('ioredis', 'server/control/redis'),
    only('bullmq', 'server/control/redis'),
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
}
