import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { pasteReadme, readme, type Story, type Watched } from '../support/readme-story.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder } from '../support/server.ts';

/** What of "Try it" comes before people work together. */
const BEGINNINGS = ['export BOOTSTRAP_API_KEY=', 'Idempotency-Key: first', 'ACTORS='];

/** Whether both have seen the proposal approved, and the streams are over of her who was removed and of the service. */
function hasCome(watched: readonly Watched[]): boolean {
  const [first, second, last] = watched.slice(-3);
  const isSeen = [first, second].every((stream) => stream?.received.includes('event: proposal_applied'));
  return isSeen && second?.hasEnded === true && last?.hasEnded === true;
}

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
  ({ all, errors, watched } = await pasteReadme(sections, server, folder.path, hasCome));
}, 400_000);

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
      expect(stream?.received).toContain('event: proposal_made');
      expect(stream?.received).toContain('event: proposal_applied');
      expect(stream?.received).toContain('Q4 planning');
    }
    const applied = first?.received.split('\n').find((line) => line.includes('"type":"proposal_applied"')) ?? '';
    const { data } = JSON.parse(applied.slice('data: '.length));
    expect(data.proposedBy).toMatch(/^act_/);
    expect(data.approvedBy).toEqual(['act_00000000000000000000000000']);
    expect(data.proposedBy).not.toBe(data.approvedBy[0]);
  });

  it('who is removed finds nothing any more', () => {
    expect(all).toContain('There is no context with this id.');
    // Her stream has ended: what came after her removal is not in it. That of the owner goes on.
    expect(watched.at(-2)?.received).not.toContain('event: member_removed');
    expect(watched.slice(-3, -1).map(({ hasEnded }) => hasEnded)).toEqual([false, true]);
  });

  it('a service that acts for ten minutes is stopped in the middle', () => {
    expect(watched.at(-1)?.received).toContain('event: context_created');
    expect(watched.at(-1)?.hasEnded).toBe(true);
    expect(all).toContain('"status":"revoked"');
    // The first actor in the answer, whom the last line asks about, is who gave it.
    expect(/"id":"dlg_\w+".*?(act_\w+)/.exec(all)?.[1]).toBe(BOOTSTRAP_ACTOR);
  });

  it('the trail tells the whole story', async () => {
    const id = /"id":"(ctx_\w+)"/.exec(all)?.[1] ?? '';
    const headers = { Authorization: `Bearer ${server.apiKey}` };
    // What its lines ask for.
    const asked = [...readme.matchAll(/\/v1\/audit\?([^"]+)"/g)].map(([, query = '']) =>
      query.replace('$ID', id).replace('$ME', BOOTSTRAP_ACTOR),
    );
    const told = async () => {
      const actions: string[] = [];
      for (const query of asked) {
        const trail = await fetch(`${server.url}/v1/audit?${query}&limit=100`, { headers });
        const { items }: { items: { action: string }[] } = await trail.json();
        actions.push(...items.map(({ action }) => action));
      }
      return actions;
    };
    // It comes a moment after what it tells of.
    await expect
      .poll(told, { timeout: 60_000 })
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
          'delegation_granted',
          'delegation_revoked',
        ]),
      );
  });
});
