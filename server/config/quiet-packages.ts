/**
 * Packages are pinned by the lock file, so what they say of their next major versions is no news an operator can act on.
 * To be called before the first of them is loaded.
 */
export function quietPackages(): void {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
}
