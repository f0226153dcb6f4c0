import { createServer, type Server } from 'node:http';
import { runInNewContext } from 'node:vm';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatVerifierKey } from '../../events/note-keys.ts';
import type { ExportVerdict } from '../../events/verify-export.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { LOG_KEY, world } from '../support/proof-world.ts';

/** Bytes of the minified verifier at most: it is about 520 kB, 130 kB compressed, most of it the schema library. */
const BUNDLE_MAX_BYTES = 600_000;

const KEYS = formatVerifierKey(LOG_KEY);
const { log, stream, other } = world([3, 9]);
const lines = [...log.bundle(stream), ...log.bundle(other)];

/** The log that a page asks. */
const running = new MemoryLog();
const head = (size: number) => ({ stream: stream.name, size, root: stream.tree.root(size) });
running.append([1, 2, 3].map(head));
const kept = running.signed();
running.append([4, 5, 6, 7].map(head));

let verifier: string;
let server: Server;
let url: string;

beforeAll(async () => {
  const bundle = await build({
    entryPoints: ['client/verify.ts'],
    bundle: true,
    minify: true,
    format: 'iife',
    globalName: 'verifier',
    platform: 'browser',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
  });
  verifier = bundle.outputFiles[0]?.text ?? '';
  server = createServer((request, response) => {
    const path = request.url?.replace('/log/', '') ?? '';
    const bytes = path === 'checkpoint' ? running.note : running.files.get(path);
    response.writeHead(bytes ? 200 : 404).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/log`;
});

afterAll(() => server.close());

/** Runs an expression in what a browser has: no process, no Buffer, no require, no module of Node's. */
function inBrowser<Result>(expression: string, values: object): Promise<Result> {
  const browser = { TextEncoder, TextDecoder, Uint8Array, crypto, Blob, ReadableStream, fetch, URL, atob, btoa };
  return runInNewContext(`${verifier}; (async () => ${expression})()`, { ...browser, ...values });
}

describe('the verifier in a browser', () => {
  it('has no import of Node and is small enough to load', () => {
    expect(verifier).not.toMatch(/\bfrom"node:|require\("node:|import\("node:/);
    expect(verifier.length).toBeLessThan(BUNDLE_MAX_BYTES);
  });

  it('verifies a file that was chosen, a stream, and a text', async () => {
    const file = new Blob([lines.map((line) => `${line}\n`).join('')]);
    const options = { keys: KEYS };
    for (const source of [file, file.stream(), await file.text()]) {
      const verdict = await inBrowser<ExportVerdict>('verifier.verify(source, options)', { source, options });
      expect(verdict).toMatchObject({ isVerified: true, streams: 2, events: 18, findings: [] });
    }
  });

  it('says which event was altered, as soon as its stream was read', async () => {
    const altered = lines.map((line, at) => (at === 4 ? line.replace('words', 'Words') : line));
    const told: { stream: string; isVerified: boolean }[] = [];
    const options = { keys: KEYS, onVerdict: (each: { stream: string; isVerified: boolean }) => told.push(each) };
    const verdict = await inBrowser<ExportVerdict>('verifier.verify(source, options)', {
      source: altered.join('\n'),
      options,
    });
    expect(verdict.findings).toMatchObject([{ code: 'event-altered', stream: stream.name, version: 4 }]);
    expect(told.map(({ stream: name, isVerified }) => `${name} ${isVerified}`)).toEqual([
      'context/ctx_ONE false',
      'context/ctx_TWO true',
    ]);
  });

  it('asks a running log whether it follows from a checkpoint that was kept', async () => {
    const expression = 'verifier.verifyLog(url, kept, options)';
    const options = { keys: KEYS };
    expect(await inBrowser(expression, { url, kept, options })).toEqual([]);
    const forked = new MemoryLog();
    forked.append([head(1), head(2), { ...head(3), root: stream.tree.root(2) }]);
    expect(await inBrowser(expression, { url, kept: forked.signed(), options })).toMatchObject([
      { code: 'log-rewritten' },
    ]);
    await expect(inBrowser(expression, { url, kept: 'words', options })).rejects.toThrow('checkpoint that was kept');
    await expect(inBrowser(expression, { url, kept, options: { keys: 'words' } })).rejects.toThrow('A key is');
  });
});
