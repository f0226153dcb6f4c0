import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { build } from 'esbuild';
import { afterAll, describe, expect, it } from 'vitest';
import { sealEvent } from '../../events/envelope.ts';

const folder = mkdtempSync(join(tmpdir(), 'chittyconnect-bundle-'));
afterAll(() => rmSync(folder, { recursive: true }));

const draft = {
  id: '01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
  stream: 'context/ctx_1',
  version: 1,
  type: 'context_created',
  schemaVersion: 1,
  time: '2026-11-24T18:30:00.000Z',
  actor: 'act_1',
  correlationId: 'r',
  causationId: null,
  commandId: 'c',
  data: { b: 'Größe 😀', a: [1, 2.5] },
};

describe('events/ in a browser', () => {
  it('bundles without a platform import and gives the same hashes', async () => {
    const bundle = await build({
      stdin: {
        contents: "export * from './events/envelope.ts'; export * from './events/context.ts';",
        resolveDir: '.',
      },
      bundle: true,
      format: 'iife',
      globalName: 'events',
      platform: 'browser',
      write: false,
      logLevel: 'silent',
    });
    const text = bundle.outputFiles[0]?.text ?? '';
    // The runtime's own SHA-256 is asked for where there is one, by name; nothing is imported.
    expect(text).not.toMatch(/\b(?:from|import)\s*\(?\s*["'](?:node|cloudflare):|\brequire\(/);
    // Only what a browser has; no process, no Buffer, no require.
    const browser = { TextEncoder, TextDecoder, Uint8Array, crypto, draft, result: '' };
    runInNewContext(`${text}; result = events.sealEvent(draft).leafHash;`, browser);
    expect(browser.result).toBe(sealEvent(draft).leafHash);
  });

  it('runs in plain Node with the same hashes', async () => {
    const outfile = join(folder, 'events.mjs');
    await build({
      entryPoints: ['events/envelope.ts'],
      bundle: true,
      format: 'esm',
      platform: 'neutral',
      mainFields: ['module', 'main'],
      outfile,
      logLevel: 'silent',
    });
    const script = join(folder, 'run.mjs');
    writeFileSync(
      script,
      `import { sealEvent } from './events.mjs'; console.log(sealEvent(${JSON.stringify(draft)}).leafHash);`,
    );
    expect(execFileSync(process.execPath, [script], { encoding: 'utf8' }).trim()).toBe(sealEvent(draft).leafHash);
  });
});
