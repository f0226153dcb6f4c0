import { evictDurableObject, listDurableObjectIds, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { partitionName } from '../../embedded/storage.ts';
import { call, done, listAll, mint, provisionKeys } from './chittyos.ts';

const objectOf = (keyId: unknown) => env.CHITTY_AUTH.getByName(partitionName(String(keyId)));
const verify = (token: unknown) => done('auth', '/api/verify', { json: { token } });
const refresh = (refreshToken: unknown) => call('auth', '/api/refresh', { json: { refreshToken } });

describe('provisioning keys', () => {
  it('gives a key that is good, and tells what it is for', async () => {
    const { keyId, key, refreshToken, expiresAt } = await provisionKeys('ctx_1');
    expect(await verify(key)).toMatchObject({
      valid: true,
      keyId,
      service: 'chittyconnect',
      context: 'ctx_1',
      scopes: ['read', 'write'],
      expiresAt,
    });
    expect(refreshToken).not.toBe(key);
  });

  it('remembers the entity that it was asked about', async () => {
    const chittyid = await mint();
    const { keyId } = await provisionKeys('ctx_2', { 'X-ChittyID': chittyid });
    expect(await done('auth', `/api/keys/${keyId}`)).toMatchObject({ keyId, context: 'ctx_2', chittyid });
  });

  it('shows a key only once: the same Idempotency-Key gets the same keyId and no key', async () => {
    const headers = { 'Idempotency-Key': 'keys of ctx_3' };
    const first = await provisionKeys('ctx_3', headers);
    await evictDurableObject(objectOf(first.keyId));
    const json = { scopes: ['read', 'write'], context: 'ctx_3', service: 'chittyconnect' };
    const again = await call('auth', '/api/keys/provision', { json, headers });
    expect(again.status).toBe(201);
    expect(again.headers.get('Idempotent-Replayed')).toBe('true');
    expect(again.body).toMatchObject({ keyId: first.keyId, context: 'ctx_3' });
    expect(again.body).not.toHaveProperty('key');
    expect(again.body).not.toHaveProperty('refreshToken');
    expect(await verify(first.key)).toMatchObject({ valid: true });
    const other = await call('auth', '/api/keys/provision', { json: { ...json, scopes: [] }, headers });
    expect(other.status).toBe(422);
  });

  it('is listed once for each provisioning, without a secret', async () => {
    const made = [];
    for (let context = 0; context < 7; context++) {
      const headers = { 'Idempotency-Key': `listed ${context}` };
      const { keyId } = await provisionKeys(`ctx_listed_${context}`, headers);
      await provisionKeys(`ctx_listed_${context}`, headers);
      made.push(keyId);
    }
    const all = await listAll('auth', '/api/keys', 'keys', 3);
    expect(all).toEqual(await listAll('auth', '/api/keys', 'keys', 1_000));
    expect(all.map(({ keyId }) => keyId)).toEqual(all.map(({ keyId }) => keyId).toSorted());
    const listed = all.filter(({ context }) => String(context).startsWith('ctx_listed_'));
    expect(listed.map(({ keyId }) => keyId)).toEqual(made.toSorted());
    for (const key of listed) expect(key).toEqual(await done('auth', `/api/keys/${key.keyId}`));
  });

  it('keeps no key', async () => {
    const { keyId, key, refreshToken } = await provisionKeys('ctx_4');
    const stored = await runInDurableObject(objectOf(keyId), (_object, { storage }) =>
      JSON.stringify([
        storage.sql.exec('SELECT * FROM grants').toArray(),
        storage.sql.exec('SELECT * FROM secrets').toArray(),
      ]),
    );
    expect(stored).toContain(keyId);
    expect(stored).not.toContain(String(key).split('.').at(-1));
    expect(stored).not.toContain(String(refreshToken).split('.').at(-1));
  });

  it.each([
    { context: 'c', scopes: [] },
    { service: 's', context: 'c', scopes: 'all' },
    { service: 's', context: {}, scopes: [] },
  ])('refuses %j', async (json) => {
    expect((await call('auth', '/api/keys/provision', { json })).status).toBe(400);
  });
});

describe('a key that is not good', () => {
  it.each(['', 'x', 'key_01ARZ3NDEKTSV4RRFFQ69G5FAV.key.x'])(
    '%j is unknown, and no object is made for it',
    async (token) => {
      const before = await listDurableObjectIds(env.CHITTY_AUTH);
      expect(await verify(token)).toEqual({ valid: false, error: 'unknown' });
      expect(await listDurableObjectIds(env.CHITTY_AUTH)).toEqual(before);
    },
  );

  it('is unknown when only its secret is wrong, and when it is a refresh token', async () => {
    const { key, refreshToken } = await provisionKeys('ctx_5');
    expect(await verify(`${key}x`)).toEqual({ valid: false, error: 'unknown' });
    expect(await verify(refreshToken)).toEqual({ valid: false, error: 'unknown' });
  });

  it('has expired after its time', async () => {
    const { keyId, key } = await provisionKeys('ctx_6');
    await runInDurableObject(objectOf(keyId), (_object, { storage }) => {
      storage.sql.exec('UPDATE secrets SET expires_at = 1 WHERE key_id = ?', keyId);
    });
    expect(await verify(key)).toEqual({ valid: false, error: 'expired' });
  });

  it('is not found by an id that does not exist', async () => {
    expect((await call('auth', '/api/keys/key_nothing')).status).toBe(404);
  });
});

describe('refreshing', () => {
  it('gives a new key in place of the old one', async () => {
    const { keyId, key, refreshToken } = await provisionKeys('ctx_7');
    const { status, body } = await refresh(refreshToken);
    expect(status).toBe(200);
    expect(body).toMatchObject({ keyId, context: 'ctx_7', token: body.key });
    expect(await verify(body.token)).toMatchObject({ valid: true, keyId });
    expect(await verify(key)).toEqual({ valid: false, error: 'revoked' });
    expect((await refresh(body.refreshToken)).status).toBe(200);
  });

  it('revokes everything when a refresh token comes a second time', async () => {
    const { refreshToken } = await provisionKeys('ctx_8');
    const { body } = await refresh(refreshToken);
    expect((await refresh(refreshToken)).status).toBe(400);
    expect(await verify(body.token)).toEqual({ valid: false, error: 'revoked' });
    expect((await refresh(body.refreshToken)).status).toBe(400);
  });

  it('gives one new key when the same refresh token comes many times at once', async () => {
    const { refreshToken } = await provisionKeys('ctx_9');
    const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(refreshToken)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  it.each(['', 'x', 'key_01ARZ3NDEKTSV4RRFFQ69G5FAV.refresh.x'])('refuses %j', async (token) => {
    expect((await refresh(token)).status).toBe(400);
  });
});
