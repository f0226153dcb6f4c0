import { env } from 'cloudflare:workers';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, it, vi } from 'vitest';
import { MAX_AGE_MS } from '../../src/auth/access-views.ts';
import { as, expectJson, issueKey, type KeyHolder, keyHolder, registerActor, startSession } from '../support/actors.ts';
import { api, type ContextJson } from '../support/api.ts';
import { askDelegation, type DelegationJson, delegate, readDelegation, sendForm } from '../support/delegations.ts';
import { fullClaims, ISSUER, inSeconds, signedByUs, withClaims } from '../support/forge.ts';
import { configured, derivedId, expectInvalid, expectProblem, history } from '../support/rest.ts';

const nobody = derivedId('act', 'delegation: nobody');

/** Three who can hand rights on, and a context of the first. */
async function world(): Promise<{ ann: KeyHolder; ben: KeyHolder; cem: KeyHolder; context: ContextJson }> {
  const [ann, ben, cem] = await Promise.all([keyHolder({ name: 'Ann' }), keyHolder(), keyHolder()]);
  return { ann, ben, cem, context: await contextOf(ann.key) };
}

async function contextOf(key: string): Promise<ContextJson> {
  return expectJson(await as(key, '/v1/contexts', { method: 'POST', json: { name: 'A context' } }), 201);
}

function read(credential: string, id: string): Promise<Response> {
  return as(credential, `/v1/contexts/${id}`);
}

async function statusOf(credential: string, id: string): Promise<number> {
  return (await read(credential, id)).status;
}

function revoke(credential: string, id: string): Promise<Response> {
  return as(credential, `/v1/delegate/${id}`, { method: 'DELETE' });
}

/** Waits as long as is promised at most. */
function within5s(check: () => Promise<void>): Promise<void> {
  return vi.waitFor(check, { timeout: 5_000, interval: 100 });
}

describe('a delegation', () => {
  it('lets another act with a part of one’s rights, and every event says so', async () => {
    const { ann, ben, context } = await world();
    expect(await statusOf(ben.key, context.id)).toBe(404);
    const made = await delegate(ann.key, ben.id, ['contexts:read', 'contexts:write'], { ttlSeconds: 600 });
    expect(made).toMatchObject({ by: ann.id, to: ben.id, subject: ann.id, chain: [], status: 'active' });
    expect(Date.parse(made.expiresAt) - Date.parse(made.notBefore)).toBe(600_000);
    const change = { method: 'PATCH', json: { name: 'Changed' } };
    expect((await as(made.token, `/v1/contexts/${context.id}`, change)).status).toBe(200);
    const { key: reader } = await issueKey(ann.id);
    const events: { actor: string; onBehalfOf: string; credential: string }[] = await expectJson(
      await as(reader, `/v1/contexts/${context.id}/events`),
      200,
    );
    expect(events.at(-1)).toMatchObject({ actor: ben.id, onBehalfOf: ann.id, credential: made.id });
  });

  it('is a JWT that anybody can verify, with who acts for whom', async () => {
    const { ann, ben, cem } = await world();
    const first = await delegate(ann.key, ben.id, ['contexts:read', 'delegate'], { ttlSeconds: 600 });
    const second = await delegate(first.token, cem.id, ['contexts:read']);
    const keys = await (await api('/.well-known/jwks.json')).json<Parameters<typeof createLocalJWKSet>[0]>();
    const options = { issuer: ISSUER, audience: ISSUER, typ: 'at+jwt', algorithms: ['EdDSA'] };
    const { payload } = await jwtVerify(second.token, createLocalJWKSet(keys), options);
    expect(payload).toMatchObject({
      sub: ann.id,
      act: { sub: cem.id, act: { sub: ben.id } },
      client_id: cem.id,
      scope: 'contexts:read',
      jti: second.id,
      chain: [first.id, second.id],
    });
    expect(second.chain).toEqual([{ id: first.id, by: ann.id }]);
    expect(second.subject).toBe(ann.id);
    expect(second.expiresAt <= first.expiresAt).toBe(true);
  });

  it('is good for the contexts that it names and no other', async () => {
    const { ann, ben, context } = await world();
    const other = await contextOf(ann.key);
    const { token } = await delegate(ann.key, ben.id, ['contexts:read'], { contexts: [context.id] });
    expect(await statusOf(token, context.id)).toBe(200);
    expect(await statusOf(token, other.id)).toBe(404);
  });

  it('is good for its scopes and no other', async () => {
    const { ann, ben, context } = await world();
    const { token } = await delegate(ann.key, ben.id, ['contexts:read']);
    const change = await as(token, `/v1/contexts/${context.id}`, { method: 'DELETE' });
    await expectProblem(change, 403, 'insufficient-scope');
  });

  it('hands on no capability: an administrator’s delegate administers nothing', async () => {
    const { ann, ben } = await world();
    const context = await contextOf(ann.key);
    const scopes = ['contexts:read', 'actors:read', 'actors:write', 'audit:read'];
    const { token } = await delegate(String(env.BOOTSTRAP_API_KEY), ben.id, scopes);
    expect(await statusOf(token, context.id)).toBe(404);
    await expectProblem(await as(token, '/v1/admin/outbox'), 403, 'insufficient-scope');
    const key = { method: 'POST', json: { name: 'mine' } };
    for (const actor of [ann.id, ben.id, 'act_00000000000000000000000000']) {
      expect((await as(token, `/v1/actors/${actor}/keys`, key)).status).toBe(403);
    }
  });

  it('begins when it says, and ends when it says', async () => {
    const { ann, ben, context } = await world();
    const [begin, end] = [Date.now() + 60_000, Date.now() + 120_000];
    const times = { notBefore: new Date(begin).toISOString(), expiresAt: new Date(end).toISOString() };
    const { token, id } = await delegate(ann.key, ben.id, ['contexts:read'], times);
    expect((await readDelegation(ann.key, id)).status).toBe('pending');
    expect(await statusOf(token, context.id)).toBe(401);
    vi.setSystemTime(begin + 1_000);
    expect(await statusOf(token, context.id)).toBe(200);
    vi.setSystemTime(end);
    expect(await statusOf(token, context.id)).toBe(401);
    expect((await readDelegation(ann.key, id)).status).toBe('expired');
    vi.useRealTimers();
  });

  it('lasts an hour when nothing is said, and never longer than what it is made with', async () => {
    const { ann, ben } = await world();
    const hour = await delegate(ann.key, ben.id, ['contexts:read']);
    expect(Date.parse(hour.expiresAt) - Date.parse(hour.notBefore)).toBe(3_600_000);
    const soon = new Date(Date.now() + 60_000).toISOString();
    const { key } = await issueKey(ann.id, { expiresAt: soon });
    expect((await delegate(key, ben.id, ['contexts:read'])).expiresAt).toBe(soon);
    const longer = await askDelegation(key, { to: ben.id, scopes: ['contexts:read'], ttlSeconds: 61 });
    await expectProblem(longer, 403, 'forbidden');
  });

  it('comes once with an Idempotency-Key, and its token again', async () => {
    const { ann, ben, context } = await world();
    const body = { to: ben.id, scopes: ['contexts:read'], ttlSeconds: 600 };
    const headers = { 'Idempotency-Key': 'again' };
    const first = await expectJson<DelegationJson>(await askDelegation(ann.key, body, headers), 201);
    const second = await expectJson<DelegationJson>(await askDelegation(ann.key, body, headers), 201);
    expect(second.id).toBe(first.id);
    expect(second.expiresAt).toBe(first.expiresAt);
    expect(await statusOf(second.token, context.id)).toBe(200);
    const other = await askDelegation(ann.key, { ...body, ttlSeconds: 601 }, headers);
    await expectProblem(other, 422, 'idempotency-key-reused');
  });

  it('is listed by who gave it, and a moment later by who has it', async () => {
    const { ann, ben, cem } = await world();
    const made = await delegate(ann.key, ben.id, ['contexts:read']);
    const { token: _token, ...shown } = made;
    const given = await expectJson<{ items: unknown[] }>(await as(ann.key, '/v1/delegate'), 200);
    expect(given.items).toEqual([shown]);
    await vi.waitFor(async () => {
      const received = await expectJson<{ items: unknown[] }>(await as(ben.key, '/v1/delegate?role=received'), 200);
      expect(received.items).toEqual([shown]);
    });
    expect(await expectJson(await as(cem.key, '/v1/delegate?role=received'), 200)).toEqual({
      items: [],
      nextCursor: null,
    });
    await expectInvalid(await as(ann.key, '/v1/delegate?role=x'), 'role', 'must be given or received');
  });

  it('is listed page by page', async () => {
    const { ann, ben } = await world();
    const ids = new Set<string>();
    for (let count = 0; count < 5; count++) ids.add((await delegate(ann.key, ben.id, ['contexts:read'])).id);
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const path: string = `/v1/delegate?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const page = await expectJson<{ items: { id: string }[]; nextCursor: string | null }>(
        await as(ann.key, path),
        200,
      );
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    }
    expect(seen).toHaveLength(5);
    expect(new Set(seen)).toEqual(ids);
  });
});

describe('nobody gives more than they have', () => {
  it('not to oneself, nor back up the chain', async () => {
    const { ann, ben } = await world();
    const message = 'must be somebody else: these are rights that they have or have handed on';
    await expectInvalid(await askDelegation(ann.key, { to: ann.id, scopes: ['contexts:read'] }), '/to', message);
    const { token } = await delegate(ann.key, ben.id, ['contexts:read', 'delegate']);
    for (const to of [ann.id, ben.id]) {
      await expectInvalid(await askDelegation(token, { to, scopes: ['contexts:read'] }), '/to', message);
    }
  });

  it('not to nobody, of whom nothing is told, nor to a suspended actor', async () => {
    const { ann } = await world();
    const gone = await registerActor();
    await api(`/v1/actors/${gone.id}`, { method: 'DELETE' });
    for (const to of [nobody, 'act_x', '', `${nobody}/../x`, gone.id]) {
      const response = await askDelegation(ann.key, { to, scopes: ['contexts:read'] });
      await expectInvalid(response, '/to', 'must be the id of an actor');
    }
    const suspended = await registerActor();
    await api(`/v1/actors/${suspended.id}/suspend`, { method: 'POST' });
    const response = await askDelegation(ann.key, { to: suspended.id, scopes: ['contexts:read'] });
    await expectProblem(response, 409, 'suspended');
  });

  it('no scope that one’s own credential has not, and never admin', async () => {
    const { ben, ann } = await world();
    const { key } = await issueKey(ann.id, { scopes: ['contexts:read', 'delegate'] });
    const wider = await askDelegation(key, { to: ben.id, scopes: ['contexts:read', 'contexts:write'] });
    await expectProblem(wider, 403, 'forbidden');
    const admin = await askDelegation(String(env.BOOTSTRAP_API_KEY), { to: ben.id, scopes: ['admin'] });
    await expectInvalid(admin, '/scopes', 'must not name admin: it cannot be handed on');
  });

  it('no context that one’s own credential has not', async () => {
    const { ann, ben, cem, context } = await world();
    const other = await contextOf(ann.key);
    const { token } = await delegate(ann.key, ben.id, ['contexts:read', 'delegate'], { contexts: [context.id] });
    const wider = await askDelegation(token, { to: cem.id, scopes: ['contexts:read'], contexts: [other.id] });
    await expectProblem(wider, 403, 'forbidden');
    // Saying nothing is not saying all.
    const same = await delegate(token, cem.id, ['contexts:read']);
    expect(same.contexts).toEqual([context.id]);
    expect(await statusOf(same.token, other.id)).toBe(404);
  });

  it('nothing without the right to hand on', async () => {
    const { ann, ben, cem } = await world();
    const { token } = await delegate(ann.key, ben.id, ['contexts:read']);
    const response = await askDelegation(token, { to: cem.id, scopes: ['contexts:read'] });
    await expectProblem(response, 403, 'insufficient-scope');
  });

  it('nothing beyond a day, nor in the past, nor with two ends, nor to too many contexts', async () => {
    const { ann, ben } = await world();
    const ask = (more: object) => askDelegation(ann.key, { to: ben.id, scopes: ['contexts:read'], ...more });
    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    await expectInvalid(await ask({ expiresAt: at(25 * 3_600_000) }), '/expiresAt', 'must be within 24 hours');
    await expectInvalid(await ask({ expiresAt: at(-1_000) }), '/expiresAt', 'must be after it begins');
    const late = { notBefore: at(23 * 3_600_000), ttlSeconds: 2 * 3_600 };
    await expectInvalid(await ask(late), '/expiresAt', 'must be within 24 hours');
    const both = { expiresAt: at(60_000), ttlSeconds: 60 };
    await expectInvalid(await ask(both), '/ttlSeconds', 'must be left out when expiresAt is there');
    const many = Array.from({ length: 51 }, (_, index) => derivedId('ctx', `delegation ${index}`));
    await expectInvalid(await ask({ contexts: many }), '/contexts', 'must have at most 50 items');
    for (const wrong of [{ maxUses: 0 }, { maxUses: 1.5 }, { ttlSeconds: 0 }, { scopes: [] }, { scopes: ['root'] }]) {
      await expectProblem(await ask(wrong), 400, 'invalid');
    }
    await expectProblem(await ask({ subject: ben.id }), 400, 'invalid');
    await expectProblem(await ask({ act: { sub: ben.id } }), 400, 'invalid');
  });

  it('fits a token with as many contexts and links as there may be', async () => {
    const holders = await Promise.all(Array.from({ length: 7 }, () => keyHolder()));
    const [root, ...others] = holders;
    const contexts = Array.from({ length: 50 }, (_, index) => derivedId('ctx', `delegation long ${index}`));
    let credential = root?.key ?? '';
    for (const { id } of others.slice(0, 5)) {
      const scopes = ['contexts:read', 'contexts:write', 'contexts:share', 'connections:read', 'connections:write'];
      const more = ['actors:read', 'actors:write', 'delegate', 'audit:read'];
      credential = (await delegate(credential, id, [...scopes, ...more], { contexts })).token;
    }
    expect(credential.length).toBeLessThan(4096);
    expect((await as(credential, '/v1/contexts')).status).toBe(200);
    // Five in a row and no further.
    const sixth = await askDelegation(credential, { to: others[5]?.id, scopes: ['contexts:read'] });
    await expectProblem(sixth, 409, 'limit-reached');
  });
});

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

  it('without asking more than is known: a token that was just used holds 4 s at most', async () => {
    expect(MAX_AGE_MS).toBeLessThan(5_000);
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

  it('are taken by nobody else', async () => {
    const { ann, ben, cem } = await world();
    const { id } = await delegate(ann.key, ben.id, ['contexts:read'], { maxUses: 3 });
    await sendForm(cem.key, '/oauth/introspect', { token: 'x' });
    await revoke(cem.key, id);
    expect((await readDelegation(ann.key, id)).uses).toBe(0);
  });
});

describe('nobody gets in with a token that was', () => {
  it('signed by us for a delegation that nobody made', async () => {
    const { ann, ben, context } = await world();
    const id = `${derivedId('dlg', 'never made')}_${ann.id.slice(4)}`;
    const claims = { sub: ann.id, act: { sub: ben.id }, jti: id, chain: [id], scope: 'contexts:read' };
    expect(await statusOf(await signedByUs(fullClaims({ sid: undefined, ...claims })), context.id)).toBe(401);
  });

  it('signed by us but says more than what was recorded', async () => {
    const { ann, ben, cem, context } = await world();
    const made = await delegate(ann.key, ben.id, ['contexts:read'], { contexts: [context.id] });
    const right = {
      sid: undefined,
      sub: ann.id,
      act: { sub: ben.id },
      jti: made.id,
      chain: [made.id],
      scope: 'contexts:read',
      contexts: [context.id],
      exp: inSeconds(60),
    };
    expect(await statusOf(await signedByUs(fullClaims(right)), context.id)).toBe(200);
    const wrong = [
      { scope: 'contexts:read contexts:write' },
      { scope: 'admin' },
      { contexts: undefined },
      { contexts: [context.id, derivedId('ctx', 'another')] },
      { act: { sub: cem.id } },
      { sub: ben.id },
      { act: { sub: ben.id, act: { sub: cem.id } } },
      { chain: [made.id, made.id], act: { sub: ben.id, act: { sub: ann.id } } },
      { jti: 'dlg_x' },
    ];
    for (const change of wrong) {
      const token = await signedByUs(fullClaims({ ...right, ...change }));
      expect([change, await statusOf(token, context.id)]).toEqual([change, 401]);
    }
  });

  it('changed after it was signed', async () => {
    const { ann, ben, context } = await world();
    const { token } = await delegate(ann.key, ben.id, ['contexts:read']);
    expect(await statusOf(withClaims(token, { scope: 'contexts:read contexts:write' }), context.id)).toBe(401);
    expect(await statusOf(withClaims(token, { exp: inSeconds(99_999) }), context.id)).toBe(401);
  });
});

describe('introspection (RFC 7662)', () => {
  async function introspect(credential: string, token: string) {
    return expectJson<Record<string, unknown>>(await sendForm(credential, '/oauth/introspect', { token }), 200);
  }

  it('tells what a token is good for, to services that are known here, and takes no use', async () => {
    const { ann, ben, cem } = await world();
    const { token, id } = await delegate(ann.key, ben.id, ['contexts:read'], { maxUses: 1 });
    const told = await introspect(cem.key, token);
    expect(told).toMatchObject({ active: true, sub: ann.id, client_id: ben.id, act: { sub: ben.id }, jti: id });
    expect(told).toMatchObject({ scope: 'contexts:read', token_type: 'Bearer', chain: [id], iss: ISSUER });
    expect((await readDelegation(ann.key, id)).uses).toBe(0);
    await as(token, '/v1/contexts');
    expect(await introspect(cem.key, token)).toEqual({ active: false });
  });

  it('says nothing but that it is not active of everything else', async () => {
    const { ann, ben, cem } = await world();
    const { token, id } = await delegate(ann.key, ben.id, ['contexts:read']);
    await revoke(ann.key, id);
    await within5s(async () => expect(await introspect(cem.key, token)).toEqual({ active: false }));
    for (const text of ['', 'x', ann.key, withClaims(token, { sub: cem.id }), await signedByUs(fullClaims())]) {
      expect(await introspect(cem.key, text)).toEqual({ active: false });
    }
  });

  it('is not for strangers, and takes a form with a token', async () => {
    const stranger = await sendForm('wrong', '/oauth/introspect', { token: 'x' });
    await expectProblem(stranger, 401, 'unauthorized');
    const { key } = await keyHolder();
    const body = await expectProblem(await sendForm(key, '/oauth/introspect', {}), 400, 'invalid');
    expect(body).toMatchObject({ error: 'invalid_request', errors: [{ pointer: 'token' }] });
    const twice = { method: 'POST', body: new URLSearchParams('token=a&token=b') };
    await expectProblem(await as(key, '/oauth/introspect', twice), 400, 'invalid');
    const json = await as(key, '/oauth/introspect', { method: 'POST', json: { token: 'x' } });
    await expectProblem(json, 415, 'unsupported-media-type');
  });

  it('tells of the tokens of sessions too', async () => {
    const { ann, cem } = await world();
    const session = await startSession(ann.key);
    expect(await introspect(cem.key, session.accessToken)).toMatchObject({
      active: true,
      sub: ann.id,
      sid: session.id,
    });
  });
});

describe('revocation (RFC 7009)', () => {
  it('ends a delegation for who has it, gave it or is above, with the token alone', async () => {
    const { ann, ben, cem, context } = await world();
    for (const credential of [ann.key, ben.key, 'itself']) {
      const { token } = await delegate(ann.key, ben.id, ['contexts:read']);
      const stranger = await sendForm(cem.key, '/oauth/revoke', { token });
      await expectProblem(stranger, 403, 'forbidden');
      expect(await statusOf(token, context.id)).toBe(200);
      const response = await sendForm(credential === 'itself' ? token : credential, '/oauth/revoke', { token });
      expect([response.status, await response.text()]).toEqual([200, '']);
      await within5s(async () => expect(await statusOf(token, context.id)).toBe(401));
      expect((await sendForm(ann.key, '/oauth/revoke', { token })).status).toBe(200);
    }
  });

  it('ends a session for its actor', async () => {
    const { ann, ben } = await world();
    const session = await startSession(ann.key);
    const token = session.accessToken;
    await expectProblem(await sendForm(ben.key, '/oauth/revoke', { token }), 403, 'forbidden');
    expect((await sendForm(token, '/oauth/revoke', { token })).status).toBe(200);
    await within5s(async () => expect((await as(token, '/v1/contexts')).status).toBe(401));
  });

  it('answers 200 to what it does not know, and 401 to strangers', async () => {
    const { ann } = await world();
    expect((await sendForm(ann.key, '/oauth/revoke', { token: 'nothing' })).status).toBe(200);
    await expectProblem(await sendForm('wrong', '/oauth/revoke', { token: 'x' }), 401, 'unauthorized');
    await expectProblem(await sendForm(ann.key, '/oauth/revoke', {}), 400, 'invalid');
  });
});

describe('the trail', () => {
  it('leads from an event to the person at the root, also when everything has ended', async () => {
    const { ann, ben, cem } = await world();
    const first = await delegate(ann.key, ben.id, ['contexts:read', 'contexts:write', 'delegate']);
    const second = await delegate(first.token, cem.id, ['contexts:read', 'contexts:write']);
    const made = await contextOf(second.token);
    await revoke(ann.key, first.id);
    const [created] = await history(made.id);
    expect(created).toMatchObject({ actor: cem.id, onBehalfOf: ann.id, credential: second.id });
    const seen = await readDelegation(String(env.BOOTSTRAP_API_KEY), created?.credential ?? '');
    expect(seen).toMatchObject({ by: ben.id, to: cem.id, subject: ann.id, status: 'interrupted' });
    expect(seen.chain).toEqual([{ id: first.id, by: ann.id, status: 'revoked' }]);
  });
});
