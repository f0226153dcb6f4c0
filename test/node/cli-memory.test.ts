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
/** MiB of the heap that the tool may have, and of all its memory: a Node that does nothing takes about 50. */
const HEAP_MAX = 64;
const MEMORY_MAX = 192;

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
  it('verifies a long bundle in memory that does not grow with it', { timeout: 120_000 }, async () => {
    const file = join(folder, 'long.ndjson');
    await writeBundle(file);
    expect(statSync(file).size).toBeGreaterThan(HEAP_MAX * 2 ** 20 * 2.5);
    // It looks at its own memory, and tells in the end the most that it had. The kernel's own figure has its parent's in it.
    const looking = 'globalThis.most=0;setInterval(()=>{most=Math.max(most,process.memoryUsage.rss())},10).unref()';
    const telling = `process.on('exit',()=>console.error(most))`;
    const NODE_OPTIONS = `--max-old-space-size=${HEAP_MAX} --import=data:text/javascript,${looking};${telling}`;
    const args = ['verify', file, '--key', formatVerifierKey(LOG_KEY)];
    const { status, stdout, stderr } = await runCli(args, { environment: { NODE_OPTIONS } });
    expect(stdout).toContain(`verified: 1 stream, ${EVENTS} events`);
    expect(status).toBe(0);
    expect(Number(stderr)).toBeGreaterThan(0);
    expect(Number(stderr) / 2 ** 20).toBeLessThan(MEMORY_MAX);
  });
});
