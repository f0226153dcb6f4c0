import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pasteReadme, type Story } from '../support/readme-story.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder } from '../support/server.ts';

/** What of "Try it" comes before people work together. */
const BEGINNINGS = ['export BOOTSTRAP_API_KEY=', 'Idempotency-Key: first', 'ACTORS='];

const data = temporaryFolder('readme-story');
const folder = temporaryFolder('readme-story-shell');
let server: Server;
let { all, errors, watched }: Story = { all: '', errors: '', watched: [] };

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: data.path, apiKey: 'the-key-of-the-story' });
  const sections = [
    { section: '## Try it', only: BEGINNINGS },
    { section: '### Share a context' },
    { section: '### Hand on a part of your rights' },
  ];
  ({ all, errors, watched } = await pasteReadme(sections, server, folder.path));
}, 120_000);

afterAll(async () => {
  await stopServer(server);
  data.remove();
  folder.remove();
});

describe('the lines of the README, pasted', () => {
  it('have nothing go wrong', () => {
    expect(errors).toBe('');
  });

  it('two people with keys of their own share a context, and both see the approved proposal come', () => {
    const [first, second] = watched.slice(-3, -1);
    for (const stream of [first, second]) {
      expect(stream).toContain('event: proposal_made');
      expect(stream).toContain('event: proposal_applied');
      expect(stream).toContain('Q4 planning');
    }
    const applied = first?.split('\n').find((line) => line.includes('"type":"proposal_applied"')) ?? '';
    const { data } = JSON.parse(applied.slice('data: '.length));
    expect(data.proposedBy).toMatch(/^act_/);
    expect(data.approvedBy).toEqual(['act_00000000000000000000000000']);
    expect(data.proposedBy).not.toBe(data.approvedBy[0]);
  });

  it('who is removed finds nothing any more', () => {
    expect(all).toContain('There is no context with this id.');
    // Her stream has ended: what came after her removal is not in it.
    expect(watched.at(-2)).not.toContain('event: member_removed');
  });

  it('a service that acts for ten minutes is stopped in the middle', () => {
    expect(watched.at(-1)).toContain('event: context_created');
    expect(all).toContain('"status":"revoked"');
  });

  it('the trail tells the whole story', async () => {
    const id = /"id":"(ctx_\w+)"/.exec(all)?.[1];
    const headers = { Authorization: `Bearer ${server.apiKey}` };
    const told = async () => {
      const trail = await fetch(`${server.url}/v1/audit?context=${id}&system=false&limit=100`, { headers });
      const { items }: { items: { action: string }[] } = await trail.json();
      return items.map(({ action }) => action);
    };
    // It comes a moment after what it tells of.
    await expect
      .poll(told, { timeout: 20_000 })
      .toEqual(
        expect.arrayContaining([
          'context_created',
          'invitation_sent',
          'invitation_accepted',
          'proposal_made',
          'proposal_commented',
          'proposal_applied',
          'rules_changed',
          'member_removed',
          'context.read',
        ]),
      );
  });
});
