/** A media source with one buffer for each kind of media: who asks for a second one gets the first, with what is in it. */
export class SharedSource extends MediaSource {
  readonly #made = new Map<string, { readonly buffer: SourceBuffer; type: string }>()

  override addSourceBuffer(type: string): SourceBuffer {
    const kind = type.slice(0, type.indexOf('/'))
    const made = this.#made.get(kind)
    if (!made) {
      const buffer = super.addSourceBuffer(type)
      this.#made.set(kind, { buffer, type })
      return buffer
    }
    if (plain(made.type) !== plain(type)) made.buffer.changeType(type)
    made.type = type
    return made.buffer
  }

  override removeSourceBuffer(buffer: SourceBuffer): void {
    super.removeSourceBuffer(buffer)
    for (const [kind, made] of this.#made) if (made.buffer === buffer) this.#made.delete(kind)
  }
}

function plain(type: string): string {
  return type.toLowerCase().replaceAll(/["\s]/g, '')
}
