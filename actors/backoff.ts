/**
 * Milliseconds to wait after `attempts` failures: doubling from `base` up to `cap`, with jitter over the upper half so
 * that what failed together does not come back together.
 */
export function backoffMs(attempts: number, { base, cap }: { readonly base: number; readonly cap: number }): number {
  const ceiling = Math.min(cap, base * 2 ** Math.min(Math.max(attempts, 1) - 1, 30));
  return ceiling * (0.5 + Math.random() / 2);
}
