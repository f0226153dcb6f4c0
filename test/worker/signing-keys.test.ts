import { listDurableObjectIds, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { base64url, calculateJwkThumbprint, decodeProtectedHeader } from 'jose';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { RING_FRESH_MS, signersOf } from '../../src/auth/key-ring.ts';
import { PUBLISHED_AHEAD_MS } from '../../src/auth/key-rotation.ts';
import { sealerOf } from '../../src/auth/sealing.ts';
import { mintToken, TOKEN_LIFE_MAX_MS, verifyToken } from '../../src/auth/tokens.ts';
import { isProblem } from '../../src/http/problem.ts';
import { api } from '../support/api.ts';
import { inSeconds, sessionClaims } from '../support/forge.ts';
import { configured, expectInvalid, expectProblem } from '../support/rest.ts';

const PATH = '/v1/admin/signing-keys';

interface KeyJson {
  kid: string;
  notBefore: string;
  validUntil: string | null;
}

afterEach(() => {
  vi.useRealTimers();
});

async function token(from = env, lifeSeconds = 60): Promise<string> {
  const claims = sessionClaims({ nbf: inSeconds(0), exp: inSeconds(lifeSeconds) });
  const minted = await mintToken(from, claims, 'act_x');
  if (isProblem(minted)) throw new Error(minted.detail);
  return minted;
}

function kidOf(text: string): string {
  return String(decodeProtectedHeader(text).kid);
}

async function rotate(json?: object): Promise<KeyJson[]> {
  const response = await api(`${PATH}/rotate`, { method: 'POST', ...(json && { json }) });
  expect(response.status, await response.clone().text()).toBe(200);
  return (await response.json<{ keys: KeyJson[] }>()).keys;
}

async function listed(): Promise<KeyJson[]> {
  return (await (await api(PATH)).json<{ keys: KeyJson[] }>()).keys;
}

async function published(): Promise<{ kid: string }[]> {
  return (await (await api('/.well-known/jwks.json')).json<{ keys: { kid: string }[] }>()).keys;
}

/** Everything that the ring's object has in its database. */
function storedText(): Promise<string> {
  const ring = env.SIGNING_KEYS.get(env.SIGNING_KEYS.idFromName('service'));
  return runInDurableObject(ring, (_object, { storage }) => {
    const tables = storage.sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
      )
      .toArray();
    return tables.map(({ name }) => JSON.stringify(storage.sql.exec(`SELECT * FROM "${name}"`).toArray())).join('\n');
  });
}

describe('the published keys', () => {
  it('are named by their thumbprints (RFC 7638), may be cached, and have no private part', async () => {
    const kid = kidOf(await token());
    const response = await api('/.well-known/jwks.json', { headers: { Authorization: 'Bearer wrong' } });
    expect(response.status).toBe(200);
    expect(response.headers.get('Content-Type')).toBe('application/jwk-set+json');
    expect(response.headers.get('Cache-Control')).toBe('public, max-age=300');
    const { keys } = await response.json<{ keys: Record<string, string>[] }>();
    expect(keys.map((key) => key['kid'])).toContain(kid);
    for (const key of keys) {
      expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x']);
      expect(await calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x: String(key['x']) })).toBe(key['kid']);
    }
  });
});

describe('a rotation', () => {
  it('publishes the new key at once and signs with it when everybody can know it; the old one verifies on', async () => {
    const before = await token(env, 24 * 60 * 60);
    const old = kidOf(before);
    const keys = await rotate();
    const [newest] = keys.toReversed();
    expect(newest?.kid).not.toBe(old);
    expect((await published()).map(({ kid }) => kid)).toEqual(expect.arrayContaining([old, newest?.kid]));
    expect(kidOf(await token())).toBe(old);

    const now = Date.now();
    vi.setSystemTime(now + PUBLISHED_AHEAD_MS);
    const after = await token();
    expect(kidOf(after)).toBe(newest?.kid);
    expect(await verifyToken(env, after)).not.toBeNull();
    expect(await verifyToken(env, before)).not.toBeNull();

    // Until the last that it may have signed has run out, and not for ever.
    const validUntil = Date.parse(String((await listed()).find(({ kid }) => kid === old)?.validUntil));
    expect(validUntil - now).toBeGreaterThan(PUBLISHED_AHEAD_MS + TOKEN_LIFE_MAX_MS);
    expect(validUntil - now).toBeLessThan(PUBLISHED_AHEAD_MS + TOKEN_LIFE_MAX_MS + 5 * 60_000);
    vi.setSystemTime(validUntil);
    expect((await published()).map(({ kid }) => kid)).not.toContain(old);
  });

  it('of a compromised key ends what it has signed, and what the ones before it have', async () => {
    const first = await token(env, 600);
    await rotate();
    const second = await token(env, 600);
    const keys = await rotate({ compromised: true });
    // Another isolate than the one that was asked, as most are.
    vi.setSystemTime(Date.now() + RING_FRESH_MS);
    expect(await verifyToken(env, first)).toBeNull();
    expect(await verifyToken(env, second)).toBeNull();
    expect(kidOf(await token())).toBe(keys.at(-1)?.kid);
    expect(await published()).toHaveLength(1);
  });

  it('holds for the tokens that were found right before', async () => {
    const text = await token(env, 600);
    expect(await verifyToken(env, text)).not.toBeNull();
    expect(verifyToken(env, text)).not.toBeInstanceOf(Promise);
    await rotate({ compromised: true });
    vi.setSystemTime(Date.now() + RING_FRESH_MS);
    expect(await verifyToken(env, text)).toBeNull();
  });

  it('can be repeated, but not until nobody could load the list', async () => {
    await rotate({ compromised: true });
    while ((await listed()).length < 20) await rotate();
    await expectProblem(await api(`${PATH}/rotate`, { method: 'POST' }), 409, 'limit-reached');
    // Whoever has lost a key is never made to wait.
    expect(await rotate({ compromised: true })).not.toHaveLength(0);
    expect(await published()).toHaveLength(1);
  });

  it('is for administrators', async () => {
    const wrong = { headers: { Authorization: 'Bearer wrong' } };
    await expectProblem(await api(`${PATH}/rotate`, { method: 'POST', ...wrong }), 401, 'unauthorized');
    await expectProblem(await api(`${PATH}/reseal`, { method: 'POST', ...wrong }), 401, 'unauthorized');
    await expectProblem(await api(PATH, wrong), 401, 'unauthorized');
  });

  it('takes nothing but what it knows', async () => {
    const response = await api(`${PATH}/rotate`, { method: 'POST', json: { compromised: 'yes' } });
    await expectInvalid(response, '/compromised', 'must be a boolean');
    const unknown = await api(`${PATH}/rotate`, { method: 'POST', json: { kid: 'mine' } });
    await expectInvalid(unknown, '/kid', 'is not a known field; leave it out');
  });

  it('without KEY_ENCRYPTION_KEY says what to do, and changes nothing', async () => {
    const before = await listed();
    for (const path of ['rotate', 'reseal']) {
      const response = await configured({ KEY_ENCRYPTION_KEY: '' }, `${PATH}/${path}`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}` },
      });
      const { detail } = await expectProblem(response, 503, 'not-configured');
      expect(detail).toContain('KEY_ENCRYPTION_KEY');
    }
    expect(await listed()).toEqual(before);
  });
});

it('the ring is no read model: rebuilding those passes it over', async () => {
  await token();
  const before = await listDurableObjectIds(env.DEAD_LETTERS);
  expect((await api('/v1/admin/rebuild', { method: 'POST' })).status).toBe(200);
  expect(await listDurableObjectIds(env.DEAD_LETTERS)).toHaveLength(before.length);
});

describe('a clock that was put back', () => {
  it('to before there were keys leaves tokens and the log signed by those that there are', async () => {
    const kidsOfLog = async () => {
      const signers = await signersOf(env, 'log');
      return isProblem(signers) ? signers.detail : signers.map(({ signingKey }) => signingKey.kid);
    };
    const [kid, kids] = [kidOf(await token()), await kidsOfLog()];
    vi.setSystemTime(Date.now() - 24 * 60 * 60_000);
    expect(await kidsOfLog()).toEqual(kids);
    expect(kidOf(await token())).toBe(kid);
  });
});

describe('a private key', () => {
  it('is nowhere in what is stored or answered, and opens only with the secret', async () => {
    const kid = kidOf(await token());
    const stored = await storedText();
    const sealed =
      new RegExp(`"kid\\\\*":\\\\*"${kid}.*?sealedPrivateKey\\\\*":\\\\*"(v1[\\w.-]+)`).exec(stored)?.[1] ?? '';
    expect(sealed).toMatch(/^v1\./);
    expect(stored).not.toMatch(/\\*"d\\*":/);
    for (const path of [PATH, '/.well-known/jwks.json', '/openapi.json']) {
      const response = await api(path);
      expect(response.status, path).toBe(200);
      expect(await response.text()).not.toMatch(/v1\.[\w-]{11}\.|"d":|sealedPrivateKey/);
    }

    const label = `signing key tokens ${kid}`;
    const secret = await (await sealerOf(env))?.open(sealed, label);
    expect(secret?.byteLength).toBe(32);
    // In no form in which it could be read off the disk.
    expect(stored).not.toContain(base64url.encode(secret ?? ''));
    const other = await sealerOf({ ...env, KEY_ENCRYPTION_KEY: 'C'.repeat(43) });
    expect(await other?.open(sealed, label)).toBeNull();
    // Nor under another name, nor changed.
    expect(await (await sealerOf(env))?.open(sealed, `${label}x`)).toBeNull();
    const changed = sealed.replace(/.$/, (letter) => (letter === 'A' ? 'Q' : 'A'));
    expect(await (await sealerOf(env))?.open(changed, label)).toBeNull();
  });

  it('is encrypted anew under a new secret, after which the one before is not needed', async () => {
    const before = await token();
    const next = { KEY_ENCRYPTION_KEY: 'D'.repeat(43) };
    const both = { ...next, KEY_ENCRYPTION_KEY_PREVIOUS: env.KEY_ENCRYPTION_KEY ?? '' };
    expect(await mintToken({ ...env, ...next }, sessionClaims(), 'act_x')).toMatchObject({ problem: 'not-configured' });
    expect(kidOf(await token({ ...env, ...both }))).toBe(kidOf(before));
    const init = { method: 'POST', headers: { Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}` } };
    expect((await configured(both, `${PATH}/reseal`, init)).status).toBe(200);
    expect(kidOf(await token({ ...env, ...next }))).toBe(kidOf(before));
    expect(await verifyToken(env, before)).not.toBeNull();
    // Back, for the other tests.
    const back = { KEY_ENCRYPTION_KEY_PREVIOUS: next.KEY_ENCRYPTION_KEY };
    expect((await configured(back, `${PATH}/reseal`, init)).status).toBe(200);
    expect(kidOf(await token())).toBe(kidOf(before));
  });

  it('that can no longer be opened is replaced by a rotation, at once', async () => {
    const before = kidOf(await token());
    const lost = { KEY_ENCRYPTION_KEY: 'E'.repeat(43) };
    const init = { method: 'POST', headers: { Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}` } };
    expect((await configured(lost, `${PATH}/rotate`, init)).status).toBe(200);
    const after = await token({ ...env, ...lost });
    expect(kidOf(after)).not.toBe(before);
    expect(await verifyToken(env, after)).not.toBeNull();
  });
});
