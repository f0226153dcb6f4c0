import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pasteReadme } from '../support/readme-story.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder } from '../support/server.ts';

const data = temporaryFolder('readme-proof');
const folder = temporaryFolder('readme-proof-shell');
let server: Server;
let all = '';

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: data.path, apiKey: 'the-key-of-the-proof' });
  const sections = [
    { section: '## Try it', only: ['export BOOTSTRAP_API_KEY=', 'Idempotency-Key: first'] },
    { section: '### Verify it yourself' },
    { section: '### Erase a person' },
  ];
  ({ all } = await pasteReadme(sections, server, folder.path));
}, 120_000);

afterAll(async () => {
  await stopServer(server);
  data.remove();
  folder.remove();
});

describe('the lines of the README about proofs, pasted', () => {
  it('a context is exported and verified, and the event in which a byte was changed is named', () => {
    // The context, the server, and what was exported before and after the erasure; what was altered is not.
    expect(all.match(/^verified: /gm)).toHaveLength(4);
    expect(all.match(/^NOT VERIFIED: /gm)).toHaveLength(1);
    expect(all).toMatch(/^event-altered .* version 1: its content is not what was hashed/m);
  });

  it('the words of a person who was erased are gone, from the export before as well, and both are verified', () => {
    expect(all).toContain('"customer":"[erased]"');
    for (const file of ['before.ndjson', 'after.ndjson']) {
      expect(readFileSync(join(folder.path, file), 'utf8')).not.toContain('Hedwig');
    }
  });
});
