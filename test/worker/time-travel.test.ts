import { evictDurableObject } from 'cloudflare:test';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectJson, issueKey, registerActor } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { ask, type ConnectionJson, twoEnds } from '../support/connections.ts';
import { delegate } from '../support/delegations.ts';
import { derivedId, expectInvalid, expectProblem, history, objectOf } from '../support/rest.ts';
import { contextOf, idOf, invite, type Person, person, share } from '../support/sharing.ts';

let ann: Person;
let bob: Person;
let vic: Person;
let eve: Person;

beforeAll(async () => {
  [ann, bob, vic, eve] = await Promise.all([person('Ann'), person('Bob'), person('Vic'), person('Eve')]);
});

/** The version in a response's ETag, and a check that the response is what was hoped for. */
function versionOf(response: Response): number {
  expect(response.status).toBeLessThan(300);
  return Number(JSON.parse(response.headers.get('ETag') ?? ''));
}

const malformed = [
  ['x', 'must be a version such as 3, or a time with its zone such as 2026-01-31T12:00:00Z'],
  ['0', 'must be a whole number from 1 to 9007199254740991'],
  ['1&at=2', 'must be given once'],
] as const;

/** What every read of the past answers to a moment that is none, or that was before everything. */
async function expectNoSuchMoments(read: (query: string) => Promise<Response>): Promise<void> {
  for (const [at, message] of malformed) await expectInvalid(await read(`?at=${at}`), 'at', message);
  await expectProblem(await read('?at=2001-01-01T00:00:00Z'), 404, 'before-creation');
}

describe('what belongs to a context, as it was', () => {
  const parts = ['rules', 'notes', 'proposals', 'privacy'] as const;

  /** A context of Ann's that Bob may edit and Vic may read. */
  async function team(): Promise<string> {
    const context = await contextOf(ann, { name: 'Before', metadata: { customer: 'Hedwig' } });
    await share(ann, context, bob);
    await share(ann, context, vic, 'viewer');
    return context;
  }

  const idIn = async (response: Response) => (await expectJson<{ id: string }>(response.clone(), 201)).id;

  it('is answered as it was answered then, at every version', async () => {
    const context = await team();
    const asked = [...parts.map((part) => `${context}/${part}`)];
    const seen: { path: string; version: number; body: object }[] = [];
    const step = async (response: Response) => {
      const version = versionOf(response);
      for (const path of asked) {
        // Whose words are here is told of the present alone.
        const { subjects: _, ...body } = await expectJson<Record<string, object>>(await ann.call(path), 200);
        seen.push({ path, version, body });
      }
      return response;
    };
    const note = await idIn(await step(await bob.post(`${context}/notes`, { text: 'First' })));
    await step(await bob.post(`${context}/notes`, { text: 'Second' }));
    const made = await bob.post(`${context}/proposals`, { change: { name: 'After' }, message: 'Why not' });
    const proposal = `${context}/proposals/${await idIn(made)}`;
    asked.push(proposal);
    await step(made);
    await step(await ann.post(`${proposal}/comments`, { text: 'Why?' }));
    await step(await bob.remove(`${context}/notes/${note}`));
    await step(await ann.patch(`${context}/rules`, { approvalsRequired: 2, proposalsOnly: true }));
    await step(await ann.patch(`${context}/rules`, { approvalsRequired: 1 }));
    await step(await ann.call(`${context}/retention`, { method: 'PUT', json: { days: 90, after: 'change' } }));
    await step(await api(`${context}/legal-hold`, { method: 'PUT', json: { reason: 'a case' } }));
    await step(await ann.post(`${proposal}/approve`));
    await step(await api(`${context}/legal-hold`, { method: 'DELETE' }));
    await step(await ann.call(`${context}/retention`, { method: 'DELETE' }));
    expect(new Set(seen.map(({ body }) => JSON.stringify(body))).size).toBeGreaterThan(15);
    const expectThen = async () => {
      for (const { path, version, body } of seen) {
        expect(await expectJson(await ann.call(`${path}?at=${version}`), 200), `${path} at ${version}`).toEqual(body);
      }
    };
    await expectThen();
    await evictDurableObject(objectOf(idOf(context)));
    await expectThen();
  });

  it('is what it was a moment before a change, and what it became with it', async () => {
    const context = await team();
    const version = versionOf(await ann.patch(`${context}/rules`, { approvalsRequired: 3 }));
    const { time = '' } = (await history(idOf(context)))[version - 1] ?? {};
    const at = async (moment: string) =>
      (await expectJson<{ approvalsRequired: number }>(await vic.call(`${context}/rules?at=${moment}`), 200))
        .approvalsRequired;
    expect(await at(time)).toBe(3);
    expect(await at(new Date(Date.parse(time) - 1).toISOString())).toBe(1);
    for (const later of ['9999', '2999-01-01T00:00:00Z']) expect(await at(later)).toBe(3);
  });

  it('tells of a proposal what was known of it then', async () => {
    const context = await team();
    const made = await bob.post(`${context}/proposals`, { change: { name: 'After' } });
    const [version, id] = [versionOf(made), await idIn(made)];
    await expectJson(await ann.post(`${context}/proposals/${id}/approve`), 200);
    const open = async (at: string) => expectJson(await vic.call(`${context}/proposals?status=open${at}`), 200);
    expect(await open('')).toMatchObject({ items: [] });
    expect(await open(`&at=${version}`)).toMatchObject({ items: [{ id, status: 'open', approvals: [] }] });
    await expectProblem(await vic.call(`${context}/proposals/${id}?at=${version - 1}`), 404, 'not-found');
    const decided = await expectJson(await vic.call(`${context}/proposals/${id}?at=${version + 9}`), 200);
    expect(decided).toMatchObject({ status: 'applied' });
  });

  it('shows no words that are erased since', async () => {
    const context = await team();
    const version = versionOf(await bob.post(`${context}/notes`, { text: 'my own words' }));
    const then = async () => expectJson(await vic.call(`${context}/notes?at=${version}`), 200);
    expect(await then()).toMatchObject({ items: [{ text: 'my own words' }] });
    await expectJson(await ann.post(`${context}/erasures`, { subject: bob.id }), 201);
    expect(await then()).toMatchObject({ items: [{ text: '[erased]' }] });
  });

  it('is for those who may read it now, whatever they were to it then', async () => {
    const context = await team();
    await expectJson(await bob.post(`${context}/notes`, { text: 'before Vic went' }), 201);
    const later = await person('Later');
    await share(ann, context, later, 'viewer');
    for (const part of ['rules', 'notes', 'proposals']) {
      await expectJson(await later.call(`${context}/${part}?at=1`), 200);
      await expectProblem(await eve.call(`${context}/${part}?at=1`), 404, 'not-found');
    }
    await expectProblem(await later.call(`${context}/privacy?at=1`), 403, 'forbidden');
    expect((await vic.post(`${context}/leave`)).status).toBe(204);
    for (const part of parts) await expectProblem(await vic.call(`${context}/${part}?at=4`), 404, 'not-found');
    // Why a hold stood is the administrators' to know, then as now.
    const version = versionOf(await api(`${context}/legal-hold`, { method: 'PUT', json: { reason: 'a case' } }));
    await api(`${context}/legal-hold`, { method: 'DELETE' });
    const held = await expectJson<{ legalHold: object }>(await ann.call(`${context}/privacy?at=${version}`), 200);
    expect(Object.keys(held.legalHold)).toEqual(['since']);
    expect(await expectJson(await api(`${context}/privacy?at=${version}`), 200)).toMatchObject({
      legalHold: { reason: 'a case' },
    });
  });

  it('is refused where a moment is none', async () => {
    const context = await team();
    const paths = [...parts, `proposals/${derivedId('pro', 'nobody made it')}`];
    for (const part of paths) await expectNoSuchMoments((query) => ann.call(`${context}/${part}${query}`));
    // Whether an invitation waits is said by the clock.
    await invite(ann, context, eve);
    const message = 'is not a query parameter here; this route takes none';
    await expectInvalid(await ann.call(`${context}/invitations?at=1`), 'at', message);
  });
});

describe('an actor, as it was', () => {
  it('is told to itself, to administrators and, as much as they see of it, to auditors', async () => {
    const ada = await person('Ada');
    const path = `/v1/actors/${ada.id}`;
    const before = await expectJson<{ version: number }>(await ada.call('/v1/actors/me'), 200);
    const renamed = versionOf(await ada.patch(path, { name: 'Ada Lovelace' }));
    await api(`${path}/capabilities/auditor`, { method: 'PUT' });
    await api(`${path}/suspend`, { method: 'POST' });
    await api(`${path}/reinstate`, { method: 'POST' });
    const then = await ada.call(`/v1/actors/me?at=${before.version}`);
    expect(then.headers.get('ETag')).toBe(`"${before.version}"`);
    expect(await then.json()).toEqual(before);
    expect(await expectJson(await api(`${path}?at=${renamed}`), 200)).toMatchObject({
      name: 'Ada Lovelace',
      capabilities: [],
      status: 'active',
    });
    expect(await expectJson(await api(`${path}?at=9999`), 200)).toMatchObject({ capabilities: ['auditor'] });
    const { id } = await registerActor({ name: 'Auditor' });
    await api(`/v1/actors/${id}/capabilities/auditor`, { method: 'PUT' });
    const { key } = await issueKey(id);
    const headers = { Authorization: `Bearer ${key}` };
    const audited = await expectJson<object>(await api(`${path}?at=${before.version}`, { headers }), 200);
    expect(audited).toMatchObject({ name: 'Ada' });
    expect(audited).not.toHaveProperty('capabilities');
    const tag = { 'If-None-Match': `"${before.version}"` };
    expect((await ada.call(`${path}?at=${before.version}`, { headers: tag })).status).toBe(304);
    expect((await ada.call(path, { headers: tag })).status).toBe(200);
  });

  it('is not told to those who see the little that everybody may know', async () => {
    const ada = await person('Ada');
    const path = `/v1/actors/${ada.id}`;
    await expectJson(await eve.call(path), 200);
    await expectProblem(await eve.call(`${path}?at=1`), 403, 'forbidden');
    const { token } = await delegate(ada.key, eve.id, ['actors:read']);
    const headers = { Authorization: `Bearer ${token}` };
    await expectProblem(await api(`${path}?at=1`, { headers }), 403, 'forbidden');
    await expectProblem(await api(`/v1/actors/${derivedId('act', 'no past')}?at=1`), 404, 'not-found');
    await expectNoSuchMoments((query) => ada.call(path + query));
  });

  it('has no words that are erased since', async () => {
    const ada = await person('Ada');
    const path = `/v1/actors/${ada.id}`;
    expect(await expectJson(await api(`${path}?at=1`), 200)).toMatchObject({ name: 'Ada' });
    await expectJson(await ada.post('/v1/erasures', { subject: ada.id }), 201);
    expect(await expectJson(await api(`${path}?at=1`), 200)).toMatchObject({ name: '[erased]', status: 'active' });
  });
});

describe('a connection, as it was', () => {
  async function ended() {
    const { mine, theirs } = await twoEnds(ann, bob);
    const { id } = await expectJson<ConnectionJson>(await ask(ann, mine, theirs), 201);
    const path = `/v1/connections/${id}`;
    await expectJson(await bob.post(`${path}/consent`), 200);
    await expectJson(await ann.post(`${path}/heartbeat`), 200);
    expect((await ann.remove(path)).status).toBe(204);
    return { path, mine };
  }

  it('is shown as its events had it, without heartbeats, which are none', async () => {
    const { path } = await ended();
    for (const [index, status] of ['pending', 'active', 'disconnected'].entries()) {
      const version = index + 1;
      const then = await bob.call(`${path}?at=${version}`);
      expect(then.headers.get('ETag')).toBe(`"${version}"`);
      const body = await expectJson<ConnectionJson>(then, 200);
      expect(body).toMatchObject({ status, version });
      expect(body).not.toHaveProperty('lastHeartbeatAt');
      const headers = { 'If-None-Match': `"${version}"` };
      expect((await bob.call(`${path}?at=${version}`, { headers })).status).toBe(304);
    }
    expect(await expectJson(await ann.call(`${path}?at=2999-01-01T00:00:00Z`), 200)).toMatchObject({ version: 3 });
    expect((await expectJson<ConnectionJson>(await ann.call(path), 200)).lastHeartbeatAt).toEqual(expect.any(String));
  });

  it('has its history up to there', async () => {
    const { path } = await ended();
    const events = await ann.call(`${path}/events`);
    const whole = await expectJson<object[]>(events, 200);
    const then = await ann.call(`${path}/events?at=2`);
    expect(then.headers.get('Stream-Up-To-Date')).toBe('true');
    expect(await then.json()).toEqual(whole.slice(0, 2));
    expect((await ann.call(`${path}/events?at=2&limit=1`)).headers.get('Stream-Up-To-Date')).toBeNull();
    const offset = then.headers.get('Stream-Next-Offset');
    const rest = await ann.call(`${path}/events?at=2&offset=now`);
    expect(rest.headers.get('Stream-Next-Offset')).toBe(offset);
    expect(await rest.json()).toEqual([]);
    const end = events.headers.get('Stream-Next-Offset');
    await expectProblem(await ann.call(`${path}/events?at=2&offset=${end}`), 400, 'ahead-of-stream');
  });

  it('is for those who may read it now, and refused where a moment is none', async () => {
    const { path, mine } = await ended();
    for (const part of ['', '/events']) {
      await expectProblem(await eve.call(`${path}${part}?at=1`), 404, 'not-found');
      await expectNoSuchMoments((query) => ann.call(path + part + query));
    }
    await share(ann, mine, eve, 'viewer');
    expect(await expectJson(await eve.call(`${path}?at=1`), 200)).toMatchObject({ status: 'pending' });
  });
});
