import { describe, expect, test } from 'vitest'
import { readAmf0, writeAmf0, writeAmf0Array } from '../../../server/formats/flv/amf0.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('AMF0', () => {
  test('what is written is read again, lengths counted in bytes', () => {
    const bytes = writeAmf0('übertragen', 1.5, true, null, { code: 'é', nested: { n: 2 } })
    expect(readAmf0(bytes)).toEqual([
      'übertragen',
      1.5,
      true,
      null,
      new Map<string, unknown>([
        ['code', 'é'],
        ['nested', new Map([['n', 2]])],
      ]),
    ])
  })

  test('a string past 65,535 bytes is a long string', () => {
    const long = 'x'.repeat(70_000)
    expect(readAmf0(writeAmf0(long))).toEqual([long])
  })

  test('arrays, dates, XML, typed objects and undefined are read', () => {
    expect(readAmf0(writeAmf0Array({ width: 320 }))).toEqual([new Map([['width', 320]])])
    expect(readAmf0(hex('0a 00000002 05 06'))).toEqual([[null, undefined]])
    expect(readAmf0(hex('0b 3ff0000000000000 0000'))).toEqual([1])
    expect(readAmf0(hex('0f 00000002 3c3e'))).toEqual(['<>'])
    expect(readAmf0(hex('10 0001 41 0001 61 0101 000009'))).toEqual([new Map([['a', true]])])
  })

  test('a metadata array without its end marker at the end of the message is read', () => {
    expect(readAmf0(hex('08 00000001 0001 61 0100'))).toEqual([new Map([['a', false]])])
  })

  test('names from outside stay names', () => {
    const [object] = readAmf0(hex('03 0009 5f5f70726f746f5f5f 0101 000009'))
    expect(object).toEqual(new Map([['__proto__', true]]))
  })

  test.each([
    ['a number cut short', '00 3ff0'],
    ['a string longer than the message', '02 ffff 61'],
    ['a long string of 4 GiB', '0c ffffffff'],
    ['an array of 2^32 values', '0a ffffffff'],
    ['an unknown marker', '42'],
    ['an object name cut short', '03 00'],
    ['an AMF3 value', '11 0a'],
    ['a reference', '07 0000'],
  ])('%s is bad-request', (_, bytes) => {
    expect(() => readAmf0(hex(bytes))).toThrow(/^bad-request/)
  })

  test('values nested 20,000 deep are limit-exceeded', () => {
    expect(() => readAmf0(Buffer.from('0a00000001'.repeat(20_000), 'hex'))).toThrow(
      /^limit-exceeded/,
    )
    expect(() => readAmf0(Buffer.from('03000161'.repeat(12_000), 'hex'))).toThrow(/^limit-exceeded/)
  })

  test('too many values are limit-exceeded', () => {
    expect(() => readAmf0(Buffer.alloc(60_000, 5))).toThrow(/^limit-exceeded: more than 4096/)
  })
})
