import { describe, expect, test } from 'vitest'
import { writeAmf0, writeAmf0Array } from '../../server/formats/flv/amf0.ts'
import { readData } from '../../server/rtmp/read-data.ts'

const read = (payload: Buffer, type = 18) => readData({ type, streamId: 1, timestamp: 0, payload })

describe('metadata', () => {
  test('only plain, finite, short values are kept', () => {
    const payload = Buffer.concat([
      writeAmf0('@setDataFrame', 'onMetaData'),
      writeAmf0Array({
        width: 1280,
        stereo: true,
        encoder: 'obs',
        nested: { a: 1 },
        broken: Number.NaN,
        long: 'x'.repeat(300),
        nothing: null,
      }),
    ])
    expect(read(payload)).toEqual({
      kind: 'metadata',
      metadata: { width: 1280, stereo: true, encoder: 'obs' },
    })
  })
})

describe('data of a moment', () => {
  test('has its name, and its values by where they are', () => {
    const cue = { name: 'goal', time: 12.5, parameters: { team: 'A', scorers: ['x', 'y'] } }
    expect(read(writeAmf0('onCuePoint', cue))).toEqual({
      kind: 'timed',
      name: 'onCuePoint',
      values: [
        ['name', 'goal'],
        ['time', 12.5],
        ['parameters.team', 'A'],
        ['parameters.scorers.0', 'x'],
        ['parameters.scorers.1', 'y'],
      ],
    })
  })

  test('may be values without names, sent as a data frame or in an AMF3 message', () => {
    const payload = writeAmf0('@setDataFrame', 'score', 3, null, true, 'end')
    const values = [
      ['value', 3],
      ['value.2', true],
      ['value.3', 'end'],
    ]
    expect(read(payload)).toEqual({ kind: 'timed', name: 'score', values })
    expect(read(Buffer.concat([Buffer.from([0]), payload]), 15)).toMatchObject({ values })
  })

  test('is not what servers and players say to each other, nor what has no name', () => {
    for (const name of ['@clearDataFrame', '|RtmpSampleAccess', 'onStatus', 'onPlayStatus', ''])
      expect(read(writeAmf0(name, { code: 'x' }))).toBeUndefined()
    expect(read(writeAmf0(5, { a: 1 }))).toBeUndefined()
    expect(read(writeAmf0('x'.repeat(257)))).toBeUndefined()
    expect(read(Buffer.alloc(0))).toBeUndefined()
  })

  test('is taken up to 64 values and four levels deep', () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, i]))
    const wide = read(writeAmf0('a', many, many))
    expect(wide?.kind === 'timed' && wide.values).toHaveLength(64)
    const deep = { a: { b: { c: { d: { e: 1 } } }, f: 2 } }
    expect(read(writeAmf0('a', deep))).toMatchObject({ values: [['a.f', 2]] })
  })
})
