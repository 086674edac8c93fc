/** `<nearcast-copy from="ID">`: a button that puts the text of the field ID on the clipboard, and says so. */
class NearcastCopy extends HTMLElement {
  connectedCallback(): void {
    const button = this.querySelector('button')
    const field = document.getElementById(this.getAttribute('from') ?? '')
    if (!button || !(field instanceof HTMLInputElement)) return
    const label = button.textContent
    button.addEventListener('click', () => {
      field.select()
      void copy(field.value).then((done) => {
        button.textContent = done ? 'Copied' : 'Press Ctrl+C'
        button.addEventListener('blur', () => (button.textContent = label), { once: true })
      })
    })
  }
}

/** The clipboard is for secure pages only; elsewhere the text stays selected for the keyboard. */
async function copy(value: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(value)
    return true
  } catch {
    return false
  }
}

customElements.define('nearcast-copy', NearcastCopy)
