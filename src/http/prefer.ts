/**
 * How long the client is willing to wait, from its `Prefer` header (RFC 7240 §4.3); other preferences are not looked at.
 * @returns milliseconds; undefined where it does not say, or not in whole seconds
 */
export function preferredWaitMs(header: string): number | undefined {
  // Of a preference stated twice the first counts (§2). What stands in quotes is no preference, but none known has a comma there.
  for (const preference of header.split(',')) {
    const [, seconds] = /^[\t ]*wait[\t ]*=[\t ]*"?(\d{1,9})"?[\t ]*(?:;|$)/i.exec(preference) ?? []
    if (seconds !== undefined) return Number(seconds) * 1_000
  }
  return undefined
}
