import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Origins that are there without being configured; no configured one may have their names. */
export const BUILT_IN_ORIGINS: readonly string[] = ['live', 'vod', 'pages']

/** The distribution that is there when the configuration names none, as people would write it. */
export const DEFAULT_DISTRIBUTIONS: readonly unknown[] = [
  {
    id: 'default',
    hosts: ['*'],
    defaultRootObject: 'index.html',
    behaviors: [
      { path: '/live/*', origin: 'live' },
      { path: '/vod/*', origin: 'vod' },
      {
        path: '/media/*',
        origin: 'media',
        strip: '/media',
        ttl: { min: 0, default: 60, max: 31_536_000 },
      },
      { path: '/watch/*', origin: 'pages' },
      { path: '/embed/*', origin: 'pages' },
      { path: '/oembed', origin: 'pages' },
      { path: '/player.js', origin: 'pages' },
      { path: '/player/*', origin: 'pages' },
      {
        path: '*',
        origin: 'site',
        // A folder answers conditionals at the cost of a stat, and who changes a page wants to see it.
        ttl: { default: 1 },
        errors: { 404: { page: '/404.html', as: 404, ttl: 1 } },
      },
    ],
  },
]

/** The folder that the program is installed in: where its package.json is. */
export function findProjectRoot(from = fileURLToPath(import.meta.url)): string {
  let folder = dirname(from)
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder)
    folder = dirname(folder)
  return folder
}
