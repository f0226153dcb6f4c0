import { env } from 'cloudflare:workers';
import { createLocalJWKSet, decodeProtectedHeader, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import { describe, expect, it, vi } from 'vitest';
import { mintToken, verifyToken } from '../../src/auth/tokens.ts';
import { isProblem } from '../../src/http/problem.ts';
import { api } from '../support/api.ts';
import { fullClaims, ISSUER, inSeconds, sessionClaims, signedByUs, withClaims, withHeader } from '../support/forge.ts';
import { configured } from '../support/rest.ts';

async function token(more: object = {}): Promise<string> {
  const minted = await mintToken(env, sessionClaims(more), 'act_x');
  if (isProblem(minted)) throw new Error(minted.detail);
  return minted;
}

async function jwks() {
  const response = await api('/.well-known/jwks.json', { headers: { Authorization: 'none' } });
  return response.json<{ keys: { kid: string; x: string; kty: 'OKP'; crv: 'Ed25519'; alg: string }[] }>();
}

describe('a token', () => {
  it('says what it was made to say, at once and again', async () => {
    const claims = sessionClaims();
    const text = await token(claims);
    expect(await verifyToken(env, text)).toMatchObject(claims);
    // From memory: no promise, so no cryptography.
    expect(verifyToken(env, text)).toMatchObject(claims);
  });

  it('is verified by anybody from the published keys (RFC 9068)', async () => {
    const text = await token();
    const options = { issuer: ISSUER, audience: ISSUER, typ: 'at+jwt', algorithms: ['EdDSA'] };
    const { payload, protectedHeader } = await jwtVerify(text, createLocalJWKSet(await jwks()), options);
    expect(payload).toMatchObject({ sub: 'act_x', sid: 'ses_x', client_id: 'act_x' });
    expect(Object.keys(protectedHeader).sort()).toEqual(['alg', 'kid', 'typ']);
  });

  it('of a delegation keeps who acted for whom, in order', async () => {
    const { sid: _sid, ...claims } = sessionClaims();
    const act = { sub: 'act_c', act: { sub: 'act_b' } };
    const delegation = { ...claims, act, scope: 'contexts:read', contexts: ['ctx_1'], chain: ['dlg_1', 'dlg_2'] };
    const minted = await mintToken(env, delegation, 'act_c');
    expect(isProblem(minted) ? minted : await verifyToken(env, minted)).toMatchObject(delegation);
  });

  it('ends to the second, also when it was found right before', async () => {
    const exp = inSeconds(60);
    const text = await token({ exp });
    expect(await verifyToken(env, text)).not.toBeNull();
    vi.setSystemTime(exp * 1000 - 1);
    expect(verifyToken(env, text)).not.toBeNull();
    vi.setSystemTime(exp * 1000);
    expect(await verifyToken(env, text)).toBeNull();
    vi.useRealTimers();
  });

  it('from a clock that is a little ahead is taken', async () => {
    expect(await verifyToken(env, await token({ nbf: inSeconds(3) }))).not.toBeNull();
  });
});

/** What nobody may get in with. Each is as good as a right token in everything but what it is named for. */
const attacks: [name: string, make: () => Promise<string>][] = [
  ['alg none, without a signature', async () => withHeader(await token(), { alg: 'none' }, '')],
  ['alg None, as some libraries read it', async () => withHeader(await token(), { alg: 'None' }, '')],
  ['alg none, with the signature left on', async () => withHeader(await token(), { alg: 'none' })],
  ['HMAC with the public key as its secret', () => hmacWithPublicKey((x) => new TextEncoder().encode(x))],
  ['HMAC with the bytes of the public key', () => hmacWithPublicKey((x) => Uint8Array.from(atob(standard(x)), byteOf))],
  ['another issuer', () => signedByUs(fullClaims({ iss: 'https://evil.test' }))],
  ['no issuer', () => signedByUs(fullClaims({ iss: undefined }))],
  ['another audience', () => signedByUs(fullClaims({ aud: 'https://other.test' }))],
  ['no audience', () => signedByUs(fullClaims({ aud: undefined }))],
  ['a future nbf', () => signedByUs(fullClaims({ nbf: inSeconds(30) }))],
  ['expired a second ago', () => signedByUs(fullClaims({ nbf: inSeconds(-9), exp: inSeconds(-1) }))],
  ['no end', () => signedByUs(fullClaims({ exp: undefined }))],
  ['an end that is a text', () => signedByUs(fullClaims({ exp: '9999999999' }))],
  ['another typ: an id token must not pass for an access token', () => signedByUs(fullClaims(), { typ: 'JWT' })],
  ['no typ', () => signedByUs(fullClaims(), { typ: undefined })],
  ['a kid with a path', () => signedByUs(fullClaims(), { kid: '../../../../dev/null' })],
  ['a kid with a URL', () => signedByUs(fullClaims(), { kid: 'https://evil.test/key' })],
  ['a kid with SQL', () => signedByUs(fullClaims(), { kid: "x' UNION SELECT 'secret" })],
  ['a kid that nobody has', () => signedByUs(fullClaims(), { kid: 'A'.repeat(43) })],
  ['no kid', () => signedByUs(fullClaims(), { kid: undefined })],
  ['jku: where to get the key', () => signedByUs(fullClaims(), { jku: 'https://evil.test/jwks.json' })],
  ['x5u: where to get the certificate', () => signedByUs(fullClaims(), { x5u: 'https://evil.test/cert' })],
  ['jwk: the key itself, of a stranger', () => strangersToken(true)],
  ['a stranger’s signature under our kid', () => strangersToken(false)],
  ['crit: an extension', () => signedByUs(fullClaims(), { crit: ['x'], x: 1 })],
  [
    'forged act: the payload changed after it was signed',
    async () => withClaims(await token(), { act: { sub: 'act_y' } }),
  ],
  ['a subject changed after it was signed', async () => withClaims(await token(), { sub: 'act_root' })],
  ['act with more in it than who acts', () => delegationWith({ act: { sub: 'act_c', admin: true } })],
  ['act that is a text', () => delegationWith({ act: 'act_c' })],
  ['a delegation without its chain', () => delegationWith({ chain: [] })],
  ['neither session nor delegation', () => signedByUs(fullClaims({ sid: undefined }))],
  ['oversized', () => signedByUs(fullClaims({ pad: 'x'.repeat(4096) }))],
  ['no signature', async () => (await token()).replace(/\.[^.]*$/, '.')],
  ['two parts', async () => (await token()).replace(/\.[^.]*$/, '')],
  ['four parts', async () => `${await token()}.x`],
  ['a header that is no JSON', async () => `eyJ.${(await token()).split('.').slice(1).join('.')}`],
];

describe('nobody gets in with a token with', () => {
  it.each(attacks)('%s', async (_name, make) => {
    const text = await make();
    expect(await verifyToken(env, text)).toBeNull();
    const response = await api('/v1/contexts', { headers: { Authorization: `Bearer ${text}` } });
    const wrong = await api('/v1/contexts', { headers: { Authorization: 'Bearer wrong' } });
    expect(response.status).toBe(401);
    expect(response.headers.get('WWW-Authenticate')).toBe(wrong.headers.get('WWW-Authenticate'));
    expect(await response.json()).toEqual(await wrong.json());
  });

  it('the attacks above fail by what they are named for: without it the same token is taken', async () => {
    expect(await verifyToken(env, await signedByUs(fullClaims()))).not.toBeNull();
    expect(await verifyToken(env, await delegationWith({}))).not.toBeNull();
  });
});

function standard(text: string): string {
  return text.replaceAll('-', '+').replaceAll('_', '/');
}

function byteOf(character: string): number {
  return character.charCodeAt(0);
}

async function hmacWithPublicKey(secretOf: (x: string) => Uint8Array): Promise<string> {
  const { kid } = decodeProtectedHeader(await token());
  const { keys } = await jwks();
  const x = keys.find((key) => key.kid === kid)?.x ?? '';
  return new SignJWT(fullClaims())
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: String(kid) })
    .sign(secretOf(x));
}

async function strangersToken(carriesItsKey: boolean): Promise<string> {
  const { kid } = decodeProtectedHeader(await token());
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  const jwk = await crypto.subtle.exportKey('jwk', publicKey);
  const { kty, crv, x } = JSON.parse(JSON.stringify(jwk));
  const header = { alg: 'EdDSA', typ: 'at+jwt', kid: String(kid), ...(carriesItsKey && { jwk: { kty, crv, x } }) };
  return new SignJWT(fullClaims()).setProtectedHeader(header).sign(privateKey);
}

function delegationWith(more: object): Promise<string> {
  const delegation = { act: { sub: 'act_c' }, scope: 'contexts:read', chain: ['dlg_1'] };
  return signedByUs(fullClaims({ sid: undefined, ...delegation, ...more }));
}

it('a bootstrap key that looks like a token is a bootstrap key all the same', async () => {
  const key = 'eyJ.any.text';
  const headers = { Authorization: `Bearer ${key}` };
  expect((await configured({ BOOTSTRAP_API_KEY: key }, '/v1/contexts', { headers })).status).toBe(200);
  expect((await configured({}, '/v1/contexts', { headers })).status).toBe(401);
});

describe('where nothing can be signed', () => {
  const without: [string, string][] = [
    ['no KEY_ENCRYPTION_KEY', ''],
    ['one that is too short', 'AAAA'],
    ['another one than the keys were encrypted with', 'B'.repeat(43)],
  ];
  it.each(without)('%s: no token is made, and those that were made stay good', async (_name, KEY_ENCRYPTION_KEY) => {
    const text = await token();
    const elsewhere = { ...env, KEY_ENCRYPTION_KEY };
    const answer = await mintToken(elsewhere, sessionClaims(), 'act_x');
    expect(answer).toMatchObject({ problem: 'not-configured' });
    expect(JSON.stringify(answer)).toContain('KEY_ENCRYPTION_KEY');
    expect(await verifyToken(elsewhere, text)).not.toBeNull();
  });
});
