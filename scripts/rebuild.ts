/**
 * `npm run rebuild`: throws the read models of a running server away and fills them from the logs, while it goes on.
 * Needs BOOTSTRAP_API_KEY, and CHITTYCONNECT_URL when the server is not at http://127.0.0.1:8787.
 */
import { z } from 'zod';

const url = process.env.CHITTYCONNECT_URL || 'http://127.0.0.1:8787';
const key = process.env.BOOTSTRAP_API_KEY;

/** Width of the progress bar in characters. */
const BAR_WIDTH = 30;

const partSchema = z.object({ rebuilt: z.number(), total: z.number(), nextCursor: z.string().nullable() });

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

function showProgress(done: number, total: number, startedAt: number): void {
  const seconds = (Date.now() - startedAt) / 1000;
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const left = share > 0 ? Math.round(seconds / share - seconds) : 0;
  const bar = '#'.repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH, '.');
  const line = `[${bar}] ${done} of ${total} streams, about ${left} s left`;
  process.stdout.write(process.stdout.isTTY ? `\r${line}` : `${line}\n`);
}

if (!key) fail('Set BOOTSTRAP_API_KEY to the key of an administrator.');
const startedAt = Date.now();
let done = 0;
let cursor: string | null | undefined;
while (cursor !== null) {
  const query = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`;
  const response = await fetch(`${url}/v1/admin/rebuild${query}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${key}` },
  }).catch(() => fail(`No server answers at ${url}. Start it, or set CHITTYCONNECT_URL.`));
  if (!response.ok) fail(`The server answered ${response.status}: ${await response.text()}`);
  const part = partSchema.parse(await response.json());
  done += part.rebuilt;
  cursor = part.nextCursor;
  showProgress(done, part.total, startedAt);
}
const seconds = (Date.now() - startedAt) / 1000;
console.log(`\nRebuilt ${done} streams in ${seconds.toFixed(1)} s (${Math.round(done / seconds)} a second).`);
