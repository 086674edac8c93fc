import { expect, test } from 'vitest'
import { listOptions, writeSourceList } from '../../server/transcode/source-list.ts'

const source = {
  url: "rtmp://a.test/live/it's\nfile '/etc/passwd'",
  protocols: ['rtmp', 'tcp'],
  formats: ['flv'],
  options: { rw_timeout: '10000000' },
}

test('an address is one entry of the list, whatever characters it has', () => {
  expect(writeSourceList(source)).toBe(
    String.raw`ffconcat version 1.0
file 'rtmp://a.test/live/it'\''sfile '\''/etc/passwd'\'''
option rw_timeout '10000000'
option protocol_whitelist 'rtmp,tcp'
`,
  )
})

test('ffmpeg is told the protocols and formats, and nothing of the address', () => {
  expect(listOptions(source)).toEqual([
    '-f concat',
    '-safe 0',
    '-auto_convert 0',
    '-protocol_whitelist pipe,rtmp,tcp',
    '-format_whitelist concat,flv',
  ])
})
