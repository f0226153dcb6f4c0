import { ask } from './ask.ts';
import type { Observed, ObservedState } from './check.ts';
import type { TrackedContext } from './ledger.ts';
import type { Random } from './random.ts';
import type { Target } from './writers.ts';

/** The sizes of JSON page that are asked for: small ones, so that pages meet in many places, and the largest. */
const PAGE_SIZES = [100, 333, 1000] as const;

/** How often a context is read again because its own bookkeeping went on in the meantime. */
const READS_MAX = 50;

/**
 * Reads all that the server tells of a context.
 *
 * @returns null when there is no such context
 * @throws when the server does not answer
 */
export async function observe(target: Target, context: TrackedContext, random: Random): Promise<Observed | null> {
  for (let reads = 1; ; reads++) {
    const observed = await observeOnce(target, context, random);
    if (observed === null || reads === READS_MAX || observed.now.etag === `"${observed.lines.length}"`) return observed;
  }
}

async function observeOnce(target: Target, context: TrackedContext, random: Random): Promise<Observed | null> {
  const path = `/v1/contexts/${context.id}`;
  const lines = await ask(target, `${path}/events`, { accept: 'application/x-ndjson' });
  const text = await lines.text();
  if (lines.status === 404) return null;
  if (!lines.ok) throw new Error(`${path}/events answered ${lines.status}: ${text}`);
  if (!text.endsWith('\n')) throw new Error(`${path}/events as NDJSON ends in the middle of a line`);
  const history = text.slice(0, -1).split('\n');
  const at = random.between(1, history.length);
  return {
    lines: history,
    pages: await readPages(target, path, random.pick([...PAGE_SIZES])),
    now: await readState(target, path),
    past: { at, ...(await readState(target, `${path}?at=${at}`)) },
  };
}

async function readPages(target: Target, path: string, limit: number): Promise<string> {
  const pages: string[] = [];
  for (let offset = '-1'; ; ) {
    const page = await ask(target, `${path}/events?offset=${offset}&limit=${limit}`);
    const text = await page.text();
    if (!page.ok) throw new Error(`${page.url} answered ${page.status}: ${text}`);
    if (text !== '[]') pages.push(text.slice(1, -1));
    if (page.headers.get('Stream-Up-To-Date') === 'true') return pages.join(',');
    offset = page.headers.get('Stream-Next-Offset') ?? 'missing';
  }
}

async function readState(target: Target, path: string): Promise<ObservedState> {
  const response = await ask(target, path);
  return { status: response.status, etag: response.headers.get('ETag'), body: await response.text() };
}
