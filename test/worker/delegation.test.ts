import { env } from 'cloudflare:workers';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { describe, expect, it, vi } from 'vitest';
import { delegationId } from '../../events/delegation.ts';
import { as, expectJson, issueKey, keyHolder, registerActor, startSession } from '../support/actors.ts';
import { api } from '../support/api.ts';
import {
  askDelegation,
  contextOf,
  type DelegationJson,
  delegate,
  readDelegation,
  revoke,
  statusOf,
  world,
} from '../support/delegations.ts';
import { ISSUER } from '../support/forge.ts';
import { derivedId, expectInvalid, expectProblem, history } from '../support/rest.ts';

const nobody = derivedId('act', 'delegation: nobody');

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

  it('gives its token again to no credential that could not have made it', async () => {
    const { ann, ben, cem, context } = await world();
    const body = { to: ben.id, scopes: ['contexts:read'], ttlSeconds: 600 };
    const ask = (credential: string) => askDelegation(credential, body, { 'Idempotency-Key': 'of another' });
    const made = await expectJson<DelegationJson>(await ask(ann.key), 201);
    const scopes = ['delegate', 'contexts:read'];
    const weaker = [
      await issueKey(ann.id, { scopes: ['delegate'] }),
      await issueKey(ann.id, { scopes, contexts: [context.id] }),
      await issueKey(ann.id, { scopes, expiresAt: new Date(Date.now() + 60_000).toISOString() }),
    ];
    for (const { key } of weaker) await expectProblem(await ask(key), 403, 'forbidden');
    const handed = await delegate(cem.key, ann.id, scopes);
    await expectProblem(await ask(handed.token), 403, 'forbidden');
    const session = await startSession(ann.key);
    const enough = [await issueKey(ann.id, { scopes }), { key: session.accessToken }];
    for (const { key } of enough) expect((await expectJson<DelegationJson>(await ask(key), 201)).id).toBe(made.id);
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

  it('is listed for who has it however many others there are, and whether or not those can be read', async () => {
    const { ann, ben, cem } = await world();
    const made = await delegate(ann.key, ben.id, ['contexts:read']);
    const object = env.ACTORS.get(env.ACTORS.idFromName(ben.id));
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    // Newer ones, that their maker knows nothing of.
    const others = Array.from({ length: 1_005 }, (_, index) => delegationId(cem.id, Date.now() + 1_000 + index));
    await Promise.all(others.map((id) => object.noteReceived(id, expiresAt)));
    const received = (cursor: string) => as(ben.key, `/v1/delegate?role=received&limit=2${cursor}`);
    const page = async (cursor: string) =>
      expectJson<{ items: { id: string }[]; nextCursor: string | null }>(await received(cursor), 200);
    expect(await page('')).toEqual({ items: [], nextCursor: others.at(-2) });
    await vi.waitFor(async () => expect((await page(`&cursor=${others[0]}`)).items).toMatchObject([{ id: made.id }]));
    expect(await page(`&cursor=${others[1]}`)).toMatchObject({ items: [{ id: made.id }], nextCursor: made.id });
    expect(await page(`&cursor=${made.id}`)).toEqual({ items: [], nextCursor: null });
  }, 120_000);

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
