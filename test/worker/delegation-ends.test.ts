import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import type { Envelope } from '../../events/envelope.ts';
import { as, expectJson, keyHolder, startSession } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { delegate, readDelegation, revoke, sendForm, statusOf, within5s, world } from '../support/delegations.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { configured, derivedId, expectProblem } from '../support/rest.ts';

describe('whoever ends a part of a chain ends all below it, within 5 s', () => {
  async function chain() {
    const people = await world();
    const { ann, ben, cem, context } = people;
    const dan = await keyHolder();
    const first = await delegate(ann.key, ben.id, ['contexts:read', 'delegate']);
    const second = await delegate(first.token, cem.id, ['contexts:read', 'delegate']);
    const third = await delegate(second.token, dan.id, ['contexts:read']);
    for (const { token } of [first, second, third]) expect(await statusOf(token, context.id)).toBe(200);
    return { ...people, dan, first, second, third };
  }

  it('by revoking a link: what is above goes on', async () => {
    const { ann, ben, context, first, second, third } = await chain();
    expect((await revoke(ben.key, second.id)).status).toBe(204);
    await within5s(async () => {
      expect(await statusOf(third.token, context.id)).toBe(401);
      expect(await statusOf(second.token, context.id)).toBe(401);
    });
    expect(await statusOf(first.token, context.id)).toBe(200);
    expect((await readDelegation(ann.key, third.id)).status).toBe('interrupted');
    const seen = await readDelegation(ann.key, second.id);
    expect(seen).toMatchObject({ status: 'revoked', by: ben.id, subject: ann.id, chain: [{ id: first.id }] });
    expect(seen.revokedAt).not.toBeNull();
    await expectProblem(await revoke(ben.key, second.id), 404, 'not-found');
  });

  it('by suspending anybody in it, and nobody else; until they are reinstated', async () => {
    const { ben, context, first, third, cem } = await chain();
    await api(`/v1/actors/${ben.id}/suspend`, { method: 'POST' });
    await within5s(async () => {
      expect(await statusOf(third.token, context.id)).toBe(401);
      expect(await statusOf(first.token, context.id)).toBe(401);
    });
    expect((await as(cem.key, '/v1/contexts')).status).toBe(200);
    await api(`/v1/actors/${ben.id}/reinstate`, { method: 'POST' });
    await within5s(async () => expect(await statusOf(third.token, context.id)).toBe(200));
  });

  it('by deleting the one at the root', async () => {
    const { ann, context, third } = await chain();
    await api(`/v1/actors/${ann.id}`, { method: 'DELETE' });
    await within5s(async () => expect(await statusOf(third.token, context.id)).toBe(401));
  });

  it('by revoking the key that the first was made with', async () => {
    const { ann, context, first, third } = await chain();
    expect((await api(`/v1/actors/${ann.id}/keys/${ann.keyId}`, { method: 'DELETE' })).status).toBe(204);
    await within5s(async () => expect(await statusOf(third.token, context.id)).toBe(401));
    expect((await readDelegation(String(env.BOOTSTRAP_API_KEY), first.id)).status).toBe('revoked');
  });

  it('but rotating that key with an overlap ends nothing: its successor stands for it', async () => {
    const { ann, context, third } = await chain();
    const path = `/v1/actors/${ann.id}/keys/${ann.keyId}/rotate`;
    const rotated = await as(ann.key, path, { method: 'POST', json: { overlapSeconds: 60 } });
    const { id } = await expectJson<{ id: string }>(rotated, 201);
    vi.setSystemTime(Date.now() + 61_000);
    expect(await statusOf(third.token, context.id)).toBe(200);
    vi.useRealTimers();
    await api(`/v1/actors/${ann.id}/keys/${id}`, { method: 'DELETE' });
    await within5s(async () => expect(await statusOf(third.token, context.id)).toBe(401));
  });

  it('by ending the session that it was made in', async () => {
    const { ann, ben, context } = await world();
    const session = await startSession(ann.key);
    const { token } = await delegate(session.accessToken, ben.id, ['contexts:read']);
    expect(await statusOf(token, context.id)).toBe(200);
    expect((await as(ann.key, `/v1/actors/me/sessions/${session.id}`, { method: 'DELETE' })).status).toBe(204);
    await within5s(async () => expect(await statusOf(token, context.id)).toBe(401));
  });

  it('by replacing the bootstrap key that it was made with', async () => {
    const { ben } = await world();
    const { token, madeWith } = await delegate(String(env.BOOTSTRAP_API_KEY), ben.id, ['contexts:read']);
    // Nothing of its hash: who has the token could try keys against it.
    expect(madeWith).toBe('bootstrap-key');
    const request = { headers: { Authorization: `Bearer ${token}` } };
    expect((await configured({}, '/v1/contexts', request)).status).toBe(200);
    const replaced = await configured({ BOOTSTRAP_API_KEY: 'another' }, '/v1/contexts', request);
    await expectProblem(replaced, 401, 'unauthorized');
  });

  it('by rotating the key of the session that it was made in, whose end nobody would tell', async () => {
    const { ann, ben, context } = await world();
    const { accessToken } = await startSession(ann.key);
    const { token } = await delegate(accessToken, ben.id, ['contexts:read']);
    await as(ann.key, `/v1/actors/${ann.id}/keys/${ann.keyId}/rotate`, { method: 'POST' });
    await within5s(async () => expect(await statusOf(token, context.id)).toBe(401));
  });
});

describe('a delegation is ended by', () => {
  it('who has it, who gave it, who is above, and administrators; nobody else can, or sees it', async () => {
    const { ann, ben, cem } = await world();
    const stranger = await keyHolder();
    const makeSecond = async () => {
      const first = await delegate(ann.key, ben.id, ['contexts:read', 'delegate']);
      return delegate(first.token, cem.id, ['contexts:read']);
    };
    for (const credential of [cem.key, ben.key, ann.key, String(env.BOOTSTRAP_API_KEY)]) {
      const { id } = await makeSecond();
      await expectProblem(await revoke(stranger.key, id), 404, 'not-found');
      await expectProblem(await as(stranger.key, `/v1/delegate/${id}`), 404, 'not-found');
      expect((await readDelegation(credential, id)).chain).toMatchObject([{ by: ann.id, status: 'active' }]);
      expect((await revoke(credential, id)).status).toBe(204);
    }
    const { id, token } = await makeSecond();
    // With the token itself one is who it says, but it is not good for this.
    await expectProblem(await revoke(token, id), 403, 'insufficient-scope');
    await expectProblem(await revoke(ann.key, derivedId('dlg', 'x')), 404, 'not-found');
  });
});

describe('uses that are counted', () => {
  it('are as many as were said, however many come at once', async () => {
    const { ann, ben, context } = await world();
    const { token, id } = await delegate(ann.key, ben.id, ['contexts:read'], { maxUses: 5 });
    const statuses = await Promise.all(Array.from({ length: 12 }, () => statusOf(token, context.id)));
    expect(statuses.filter((status) => status === 200)).toHaveLength(5);
    expect(statuses.filter((status) => status === 401)).toHaveLength(7);
    expect(await readDelegation(ann.key, id)).toMatchObject({ uses: 5, maxUses: 5, status: 'used-up' });
  });

  it('count what is made from it as well', async () => {
    const { ann, ben, cem, context } = await world();
    const first = await delegate(ann.key, ben.id, ['contexts:read', 'delegate'], { maxUses: 3 });
    const second = await delegate(first.token, cem.id, ['contexts:read']);
    expect(await statusOf(second.token, context.id)).toBe(200);
    expect(await statusOf(first.token, context.id)).toBe(200);
    expect(await statusOf(second.token, context.id)).toBe(401);
    expect(await statusOf(first.token, context.id)).toBe(401);
  });

  it('stand in the history with the id of the request that each was for, as does what it did', async () => {
    const { ann, ben, cem, context } = await world();
    const scopes = ['contexts:read', 'contexts:write', 'delegate'];
    const first = await delegate(ann.key, ben.id, scopes, { maxUses: 9 });
    const second = await delegate(first.token, cem.id, ['contexts:write'], { maxUses: 9 });
    const change = { method: 'PATCH', json: { name: 'Changed' }, headers: { 'X-Request-Id': 'uses-of-one-request' } };
    expect((await as(second.token, `/v1/contexts/${context.id}`, change)).status).toBe(200);
    const histories = await Promise.all([
      env.ACTORS.get(env.ACTORS.idFromName(ann.id)).history(ADMINISTRATOR, 0, 100),
      env.ACTORS.get(env.ACTORS.idFromName(ben.id)).history(ADMINISTRATOR, 0, 100),
      env.CONTEXTS.get(env.CONTEXTS.idFromName(context.id)).history(ADMINISTRATOR, 0, 100),
    ]);
    const events = histories.flatMap((page) => ('refused' in page ? [] : page.events));
    const ofRequest = events
      .map((text): Envelope => JSON.parse(text))
      .filter(({ correlationId }) => correlationId === 'uses-of-one-request');
    expect(ofRequest.map(({ type, data }) => [type, data.delegation])).toEqual([
      ['delegation_used', first.id],
      ['delegation_used', second.id],
      ['context_updated', undefined],
    ]);
    expect(new Set(ofRequest.map(({ commandId }) => commandId)).size).toBe(3);
  });

  it('are taken by nobody else', async () => {
    const { ann, ben, cem } = await world();
    const { id } = await delegate(ann.key, ben.id, ['contexts:read'], { maxUses: 3 });
    await sendForm(cem.key, '/oauth/introspect', { token: 'x' });
    await revoke(cem.key, id);
    expect((await readDelegation(ann.key, id)).uses).toBe(0);
  });
});
