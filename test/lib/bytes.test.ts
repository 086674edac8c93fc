import { describe, expect, it } from 'vitest'
import { collect, Gathered } from '../../server/lib/bytes.ts'

describe('a collected body', () => {
  it('is what came, in order', async () => {
    const body = ['one ', 'two ', '', 'three'].map((text) => Buffer.from(text))
    expect((await collect(body)).toString()).toBe('one two three')
    expect((await collect([])).length).toBe(0)
  })

  it('is not copied when its pieces lie one behind the other', async () => {
    const whole = Buffer.from('one two three')
    const body = [whole.subarray(0, 4), whole.subarray(4, 8), whole.subarray(8)]
    const collected = await collect(body)
    expect(collected.toString()).toBe('one two three')
    expect([collected.buffer, collected.byteOffset]).toEqual([whole.buffer, whole.byteOffset])
  })

  it('is copied when they lie in another order, or in other memory', async () => {
    const whole = Buffer.from('one two three')
    const body = [whole.subarray(4, 8), whole.subarray(0, 4), Buffer.from('four')]
    expect((await collect(body)).toString()).toBe('two one four')
  })

  it('has a length of its own', async () => {
    const body = [Buffer.from('12345'), Buffer.from('6')]
    await expect(collect(body, 5)).rejects.toThrow('longer than 5 bytes')
    expect((await collect(body, 6)).toString()).toBe('123456')
  })
})

describe('gathered chunks', () => {
  it('give their beginning before the rest has come', () => {
    const gathered = new Gathered()
    gathered.add(Buffer.from('abcd'))
    gathered.add(Buffer.from('efgh'))
    expect(gathered.first(3).toString()).toBe('abcd')
    expect(gathered.first(5).toString()).toBe('abcdefgh')
    gathered.add(Buffer.from('ij'))
    expect(gathered.length).toBe(10)
    expect(gathered.bytes().toString()).toBe('abcdefghij')
  })
})
