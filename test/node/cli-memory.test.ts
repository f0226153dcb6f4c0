import { createReadStream, createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { formatHeader } from '../../events/bundle.ts';
import { formatVerifierKey } from '../../events/note-keys.ts';
import { runCli } from '../support/cli.ts';
import { HeadLog, LOG_KEY, Stream } from '../support/proof-world.ts';

/** Events of the bundle, and characters of what each of them says: about 200 MB. */
const EVENTS = 3200;
const WORDS = 'words '.repeat(10_000);
/** MiB of the heap that the tool may have, and of all that it holds at any time, buffers too: a Node that does nothing holds about 6. */
const HEAP_MAX = 64;
const HELD_MAX = 64;

const folder = mkdtempSync(join(tmpdir(), 'chittyconnect-memory-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a bundle, never holding more than one event of it. */
async function writeBundle(file: string): Promise<void> {
  const [stream, log] = [new Stream('context/ctx_LONG'), new HeadLog()];
  const events = await open(`${file}.events`, 'w');
  for (let version = 1; version <= EVENTS; version++) {
    stream.append({ name: `${version} ${WORDS}` });
    await events.write(`${stream.texts[version - 1]}\n`);
    stream.texts[version - 1] = '';
    if (version % 500 === 0) log.record(stream);
  }
  await events.close();
  log.record(stream);
  const target = createWriteStream(file);
  target.write(`${formatHeader(log.header(stream))}\n`);
  await pipeline(createReadStream(`${file}.events`), target);
}

describe('chittyconnect verify', () => {
  it('verifies a long bundle in memory that does not grow with it', async () => {
    const file = join(folder, 'long.ndjson');
    await writeBundle(file);
    expect(statSync(file).size).toBeGreaterThan(HEAP_MAX * 2 ** 20 * 2.5);
    // It looks at what it holds, and tells in the end the most. What it had and has let go of is the collector's business.
    const held = '(gc(),(({heapUsed,external})=>heapUsed+external)(process.memoryUsage()))';
    const looking = `globalThis.most=0;setInterval(()=>{most=Math.max(most,${held})},50).unref()`;
    const telling = `process.on('exit',()=>console.error(most))`;
    const options = ['--expose-gc', `--max-old-space-size=${HEAP_MAX}`];
    const NODE_OPTIONS = [...options, `--import=data:text/javascript,${looking};${telling}`].join(' ');
    const args = ['verify', file, '--key', formatVerifierKey(LOG_KEY)];
    const { status, stdout, stderr } = await runCli(args, { environment: { NODE_OPTIONS } });
    expect(stdout).toContain(`verified: 1 stream, ${EVENTS} events`);
    expect(status).toBe(0);
    expect(Number(stderr)).toBeGreaterThan(0);
    expect(Number(stderr) / 2 ** 20).toBeLessThan(HELD_MAX);
  });
});
