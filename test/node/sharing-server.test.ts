import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Client,
  connect,
  type Invitation,
  LiveError,
  type LiveMessage,
  ProblemError,
} from '../../client/client.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

const KEY = 'cck_sharing-server';
const folder = temporaryFolder('sharing-server');
let server: Server;

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: folder.path, apiKey: KEY });
});

afterAll(async () => {
  await stopServer(server, 'SIGKILL');
  folder.remove();
});

async function post(path: string, json: object): Promise<{ id: string; key?: string }> {
  const headers = { Authorization: `Bearer ${KEY}`, 'Content-Type': 'application/json' };
  const response = await fetch(`${server.url}${path}`, { method: 'POST', headers, body: JSON.stringify(json) });
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  return response.json();
}

/** Somebody with a key of their own. */
async function person(name: string): Promise<{ id: string; api: Client }> {
  const { id } = await post('/v1/actors', { kind: 'person', name });
  const { key } = await post(`/v1/actors/${id}/keys`, { name: 'laptop' });
  return { id, api: connect({ baseUrl: server.url, apiKey: key }) };
}

/** What somebody sees live, and what ended it. */
function look(api: Client, context: string): { seen: string[]; end: Promise<unknown> } {
  const seen: string[] = [];
  const follow = async () => {
    const name = (message: LiveMessage) => (message.type === 'event' ? message.event.type : message.type);
    for await (const message of api.watch(context, { after: 0 })) seen.push(name(message));
  };
  return { seen, end: follow().catch((error: unknown) => error) };
}

describe('two people with keys of their own', () => {
  it('share a context; one proposes and the other approves while both watch; then one is out', async () => {
    const [ann, bea] = [await person('Ann'), await person('Bea')];
    const { id } = await ann.api.create({ name: 'Q3 planning' });
    const sent = await ann.api.invite(id, bea.id, 'editor', { idempotencyKey: 'bea' });
    expect(await ann.api.invite(id, bea.id, 'editor', { idempotencyKey: 'bea' })).toEqual(sent);
    await expect(bea.api.read(id)).rejects.toMatchObject({ status: 403 });

    const waiting: Invitation[] = [];
    await waitFor('the invitation', async () => {
      for await (const invitation of bea.api.invitations()) waiting.push(invitation);
      return waiting.length > 0;
    });
    expect(waiting[0]).toEqual(sent);
    const joined = await bea.api.acceptInvitation(sent);
    expect(joined.members.map(({ actor, role }) => [actor, role])).toEqual([
      [ann.id, 'owner'],
      [bea.id, 'editor'],
    ]);

    const [one, other] = [look(ann.api, id), look(bea.api, id)];
    const proposal = await bea.api.propose(id, { name: 'Q4 planning' }, { message: 'Q3 is over' });
    await expect(bea.api.approve(id, proposal.id)).rejects.toMatchObject({ status: 403 });
    expect(await ann.api.approve(id, proposal.id)).toMatchObject({ status: 'applied', approvals: [{ actor: ann.id }] });
    await waitFor('both to see it', () => [one, other].every(({ seen }) => seen.includes('proposal_applied')));
    expect(await bea.api.read(id)).toMatchObject({ name: 'Q4 planning' });

    await ann.api.removeMember(id, bea.id);
    const end = await other.end;
    expect(end).toBeInstanceOf(LiveError);
    expect(end).toMatchObject({ code: 4403 });
    expect(other.seen).not.toContain('member_removed');
    await waitFor('Ann to see it', () => one.seen.includes('member_removed'));
    const refused = await bea.api.read(id).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ProblemError);
    expect(refused).toMatchObject({ status: 404 });
    await ann.api.delete(id);
    expect(await one.end).toBeUndefined();
  });
});
