interface Node<T> {
  text: string
  value: T | undefined
  children: Map<string, Node<T>> | undefined
}

/** Values by prefix: a compressed tree of at most two nodes for each prefix, however long. */
export class PrefixTree<T> {
  readonly #root: Node<T> = newNode('')

  set(prefix: string, value: T): void {
    let node = this.#root
    let rest = prefix
    while (rest !== '') {
      const child = node.children?.get(rest.charAt(0))
      if (!child) {
        const leaf = newNode<T>(rest)
        adopt(node, leaf)
        node = leaf
        break
      }
      const shared = sharedLength(child.text, rest)
      if (shared < child.text.length) {
        const middle = newNode<T>(child.text.slice(0, shared))
        child.text = child.text.slice(shared)
        adopt(middle, child)
        adopt(node, middle)
        node = middle
      } else node = child
      rest = rest.slice(shared)
    }
    node.value = value
  }

  /** Takes a prefix out; true when it was there. */
  delete(prefix: string): boolean {
    const above: Node<T>[] = []
    let node = this.#root
    let at = 0
    while (at < prefix.length) {
      const child = node.children?.get(prefix.charAt(at))
      if (!child || !prefix.startsWith(child.text, at)) return false
      above.push(node)
      node = child
      at += child.text.length
    }
    if (node.value === undefined) return false
    node.value = undefined
    const parent = above.pop()
    if (!parent) return true
    if (!node.children) {
      disown(parent, node)
      if (above.length > 0) joinOnlyChild(parent)
    } else joinOnlyChild(node)
    return true
  }

  /** Calls `visit` with the value of each prefix of this text, the shortest first. */
  eachPrefixOf(text: string, visit: (value: T) => void): void {
    let node: Node<T> | undefined = this.#root
    if (node.value !== undefined) visit(node.value)
    let at = 0
    while (at < text.length) {
      node = node.children?.get(text.charAt(at))
      if (!node || !text.startsWith(node.text, at)) return
      if (node.value !== undefined) visit(node.value)
      at += node.text.length
    }
  }
}

function newNode<T>(text: string): Node<T> {
  return { text, value: undefined, children: undefined }
}

function adopt<T>(parent: Node<T>, child: Node<T>): void {
  parent.children ??= new Map()
  parent.children.set(child.text.charAt(0), child)
}

function disown<T>(parent: Node<T>, child: Node<T>): void {
  parent.children?.delete(child.text.charAt(0))
  if (parent.children?.size === 0) parent.children = undefined
}

/** A node without a value that leads to one other is that one. */
function joinOnlyChild<T>(node: Node<T>): void {
  if (node.value !== undefined || node.children?.size !== 1) return
  for (const child of node.children.values()) {
    node.text += child.text
    node.value = child.value
    node.children = child.children
    return
  }
}

function sharedLength(a: string, b: string): number {
  let i = 0
  while (i < a.length && i < b.length && a[i] === b[i]) i++
  return i
}
