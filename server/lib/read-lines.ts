/** The lines of a byte stream as text, without their ends; a last line without one is dropped. Throws RangeError past `limit` bytes. */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  limit: number,
): AsyncGenerator<string, void, undefined> {
  let kept: Uint8Array[] = []
  let keptBytes = 0
  for await (const chunk of source) {
    let start = 0
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      kept.push(chunk.subarray(start, end))
      if (keptBytes + end - start > limit)
        throw new RangeError(`line is longer than ${limit} bytes`)
      yield Buffer.concat(kept).toString('utf8')
      kept = []
      keptBytes = 0
      start = end + 1
    }
    if (start === chunk.length) continue
    kept.push(chunk.subarray(start))
    keptBytes += chunk.length - start
    if (keptBytes > limit) throw new RangeError(`line is longer than ${limit} bytes`)
  }
}
