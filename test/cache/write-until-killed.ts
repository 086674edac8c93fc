import { DiskStore } from '../../server/cache/tier/disk-store.ts'
import { silentLog } from '../../server/lib/log.ts'
import { systemRandom } from '../../server/lib/random.ts'

// The child of the kill -9 test: writes records for ever and says how many are on the disk.
const store = await DiskStore.open({
  folder: process.argv[2] ?? '',
  diskBytes: 64 * 1024 * 1024,
  fingerprint: 1,
  log: silentLog,
  random: systemRandom,
})
for (let i = 0; process.connected; i++) {
  const key = `k${i}`
  const body = [Buffer.alloc(1 + ((i * 131) % 4000), `${key} `)]
  store.write(store.hash(key), { kind: 'object', key, meta: `{"of":"${key}"}`, body })
  if (i % 100 !== 99) continue
  await store.flushed()
  process.send?.(i + 1)
}
