import fc from 'fast-check'

/** A box that can be taken apart and put together again, wrongly too. */
interface Node {
  type: string
  /** What stands between its header and its children, or all of it. */
  body: Buffer
  children: Node[] | undefined
  /** Written instead of its real size. */
  claims: number | undefined
  /** A size of 64 bits. */
  large: boolean
}

/** How many bytes of fields stand before the children of a box. */
const CONTAINERS: Readonly<Record<string, number>> = {
  moov: 0,
  trak: 0,
  edts: 0,
  mdia: 0,
  minf: 0,
  stbl: 0,
  stsd: 8,
  avc1: 78,
  mp4a: 28,
  mvex: 0,
  moof: 0,
  traf: 0,
  mfra: 0,
}

function parse(bytes: Buffer): Node[] {
  const nodes: Node[] = []
  for (let at = 0; at + 8 <= bytes.length; ) {
    const size = bytes.readUInt32BE(at)
    const type = bytes.toString('latin1', at + 4, at + 8)
    const inside = bytes.subarray(at + 8, at + size)
    const fields = CONTAINERS[type]
    nodes.push({
      type,
      body: Buffer.from(fields === undefined ? inside : inside.subarray(0, fields)),
      children: fields === undefined ? undefined : parse(inside.subarray(fields)),
      claims: undefined,
      large: false,
    })
    at += size
  }
  return nodes
}

function write(nodes: readonly Node[]): Buffer {
  return Buffer.concat(
    nodes.map(({ type, body, children, claims, large }) => {
      const inside = Buffer.concat([body, ...(children ? [write(children)] : [])])
      const size = claims ?? inside.length + (large ? 16 : 8)
      const head = Buffer.alloc(large ? 16 : 8)
      head.writeUInt32BE(large ? 1 : size >>> 0, 0)
      head.write(type, 4, 4, 'latin1')
      if (large) head.writeBigUInt64BE(BigInt(size), 8)
      return Buffer.concat([head, inside])
    }),
  )
}

interface Place {
  readonly node: Node
  readonly siblings: Node[]
}

function places(nodes: Node[]): Place[] {
  return nodes.flatMap((node) => [
    { node, siblings: nodes },
    ...(node.children ? places(node.children) : []),
  ])
}

/** Where signed and unsigned fields of 32 bits turn over. */
const EXTREMES = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]
const COUNTS = [2, 7, 8, 255, 256, 1000, 65_535, 65_536, 0x10_0000]
const number = fc.oneof(
  { arbitrary: fc.constantFrom(...EXTREMES), weight: 3 },
  fc.constantFrom(...COUNTS),
  fc.nat(4000),
  fc.nat(0xffff_ffff),
)

/** What the boxes whose contents decide are called: they are chosen more often than others. */
const TABLES = ['stts', 'ctts', 'stsc', 'stsz', 'stco', 'stss', 'elst', 'trun', 'tfhd', 'tfdt']
const HEADERS = ['mdhd', 'mvhd', 'tkhd', 'trex', 'sidx', 'stsd', 'avcC', 'esds', 'tfra', 'mfro']

/** One wrong thing in the structure of a film. */
export interface Mutation {
  /** Of all boxes, or of those of one type. */
  readonly type: string | null
  readonly which: number
  readonly how: keyof typeof WAYS
  readonly at: number
  readonly value: number
  readonly second: number
  readonly times: number
  readonly as: string
}

export const mutation: fc.Arbitrary<Mutation> = fc.record({
  type: fc.option(fc.constantFrom(...TABLES, ...TABLES, ...HEADERS), { freq: 4 }),
  which: fc.nat(),
  how: fc.constantFrom(...wayNames()),
  at: fc.nat(),
  value: number,
  second: number,
  times: fc.integer({ min: 1, max: 40 }),
  as: fc.constantFrom(...TABLES, ...HEADERS, ...Object.keys(CONTAINERS), 'mdat', 'free', 'co64'),
})

function wayNames(): (keyof typeof WAYS)[] {
  // Numbers inside boxes are what most is made of.
  const names: (keyof typeof WAYS)[] = ['word', 'word', 'word', 'entries', 'entries', 'table']
  return [
    ...names,
    'wide',
    'wide',
    'version',
    'claim',
    'large',
    'rename',
    'remove',
    'repeat',
    'swap',
    'move',
    'cut',
    'grow',
  ]
}

const WAYS = {
  /** One number of it. */
  word({ node }: Place, { at, value }: Mutation) {
    const words = Math.floor(node.body.length / 4)
    if (words > 0) node.body.writeUInt32BE(value, (at % words) * 4)
  },
  /** One number of 64 bits of it. */
  wide({ node }: Place, { at, value, second }: Mutation) {
    const words = Math.floor(node.body.length / 4) - 1
    if (words < 1) return
    node.body.writeUInt32BE(value, (at % words) * 4)
    node.body.writeUInt32BE(second, (at % words) * 4 + 4)
  },
  /** Its version and flags. */
  version({ node }: Place, { value, times }: Mutation) {
    if (node.body.length >= 4 && node.type !== 'mdat')
      node.body.writeUInt32BE((times % 3) * 0x100_0000 + (value & 0xfffff), 0)
  },
  /** All numbers from one on, or each second of them. */
  entries({ node }: Place, { at, value, second, times }: Mutation) {
    const words = Math.floor(node.body.length / 4)
    const step = 1 + (times % 3)
    for (let i = 2 + (at % 3), n = 0; i < words && node.type !== 'mdat'; i += step, n += 1)
      node.body.writeUInt32BE((n % 2 === 0 ? value : second) >>> 0, i * 4)
  },
  /** A whole table of one entry that claims much. */
  table({ node }: Place, { value, second, times }: Mutation) {
    const table = Buffer.alloc(8 + 12 * times)
    table.writeUInt32BE(times, 4)
    for (let i = 8; i < table.length; i += 4) table.writeUInt32BE(i % 8 === 0 ? value : second, i)
    if (node.type === 'stsc') table.writeUInt32BE(1, 8)
    if (node.children === undefined && node.type !== 'mdat') node.body = table
  },
  claim({ node }: Place, { value, times }: Mutation) {
    const size = node.body.length + 8
    node.claims = times % 2 === 0 ? value : Math.max(0, size + (times % 40) - 20)
  },
  large({ node }: Place, { value, times }: Mutation) {
    node.large = true
    if (times % 2 === 0) node.claims = value * (times % 4 === 0 ? 1 : 65_536)
  },
  rename({ node }: Place, { as }: Mutation) {
    node.type = as
  },
  remove({ node, siblings }: Place) {
    siblings.splice(siblings.indexOf(node), 1)
  },
  repeat({ node, siblings }: Place, { times }: Mutation) {
    if (node.type !== 'mdat')
      siblings.splice(siblings.indexOf(node), 0, ...Array<Node>(times).fill(node))
  },
  swap({ node, siblings }: Place, { at }: Mutation) {
    const [mine, other] = [siblings.indexOf(node), at % siblings.length]
    siblings[mine] = siblings[other] ?? node
    siblings[other] = node
  },
  move({ node, siblings }: Place, { at }: Mutation, all: readonly Place[]) {
    const into = all.filter((place) => place.node.children)[at % all.length]?.node
    if (!into || into === node || places([node]).some((place) => place.node === into)) return
    siblings.splice(siblings.indexOf(node), 1)
    into.children?.push(node)
  },
  cut({ node }: Place, { at }: Mutation) {
    node.body = node.body.subarray(0, at % (node.body.length + 1))
  },
  grow({ node }: Place, { times, value }: Mutation) {
    const more = Buffer.alloc(4 * times)
    for (let i = 0; i < more.length; i += 4) more.writeUInt32BE(value, i)
    node.body = Buffer.concat([node.body, more])
  },
} satisfies Readonly<
  Record<string, (place: Place, mutation: Mutation, all: readonly Place[]) => void>
>

export function mutated(film: Buffer, mutations: readonly Mutation[]): Buffer {
  const nodes = parse(film)
  for (const mutate of mutations) {
    const all = places(nodes)
    const ofType = all.filter(({ node }) => node.type === mutate.type)
    const candidates = ofType.length > 0 ? ofType : all
    const place = candidates[mutate.which % candidates.length]
    if (place) WAYS[mutate.how](place, mutate, all)
  }
  return write(nodes)
}
