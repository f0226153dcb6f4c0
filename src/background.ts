/**
 * Has the runtime go on with work after the answer has left. Its `waitUntil` is loaded when it is needed: the route table
 * must load where there is no Workers runtime.
 */
export function inBackground(work: Promise<unknown>): void {
  import('cloudflare:workers').then(({ waitUntil }) => waitUntil(work));
}
