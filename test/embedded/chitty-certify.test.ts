import { evictDurableObject, listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { partitionName } from '../../embedded/storage.ts';
import { canonicalText } from '../../events/canonical.ts';
import type { JsonObject } from '../../events/json.ts';
import { call, done, initializeDna, listAll, mint, provisionKeys } from './chittyos.ts';

/** A context that has everything: an id, a DNA record and keys. */
async function context() {
  const chittyid = await mint('CONTEXT');
  const dna = await initializeDna(chittyid);
  const keys = await provisionKeys(chittyid);
  return { chittyid, dna, apiKeys: String(keys.keyId) };
}

const verify = (json: object) => call('verify', '/api/verify/context', { json });
const certify = (json: object, kind = 'context') => call('certify', `/api/certify/${kind}`, { json });

async function verifiedContext(): Promise<string> {
  return String((await verify(await context())).body.id);
}

const RULES = { compliantWith: ['chittyos-v1'], securityLevel: 'standard' };

describe('verifying a context', () => {
  it('finds id, record and keys that belong together verified', async () => {
    const evidence = await context();
    const { status, body } = await verify(evidence);
    expect(status).toBe(201);
    expect(body).toMatchObject({ status: 'verified', valid: true, chittyid: evidence.chittyid });
    expect(body.checks).toEqual([
      { name: 'chittyid', passed: true, detail: null },
      { name: 'dna', passed: true, detail: null },
      { name: 'apiKeys', passed: true, detail: null },
    ]);
    await evictDurableObject(env.CHITTY_VERIFY.getByName(partitionName(String(body.id))));
    expect(await done('verify', `/api/verifications/${body.id}`)).toEqual(body);
  });

  it('takes records and keys as the other services answered them, and keys that were asked for with X-ChittyID', async () => {
    const chittyid = await mint();
    const dna = { id: await initializeDna(chittyid), status: 'active' };
    const keys = await provisionKeys('ctx_1', { 'X-ChittyID': chittyid });
    const more = await provisionKeys(chittyid);
    expect((await verify({ chittyid, dna, apiKeys: keys })).body).toMatchObject({ status: 'verified' });
    expect((await verify({ chittyid, dna, apiKeys: [keys, more.keyId] })).body).toMatchObject({ status: 'verified' });
  });

  it('answers the same question with the same verification', async () => {
    const evidence = await context();
    const [first, second] = await Promise.all([verify(evidence), verify(evidence)]);
    expect(first.body).toEqual(second.body);
    expect((await verify(evidence)).headers.get('Idempotent-Replayed')).toBe('true');
  });

  it('fails what was not minted, and says so', async () => {
    const evidence = { ...(await context()), chittyid: '03-1-USA-5537-P-2602-0-38' };
    const { status, body } = await verify(evidence);
    expect(status).toBe(201);
    expect(body).toMatchObject({ status: 'failed', valid: false });
    expect(body.checks).toEqual([
      expect.objectContaining({ name: 'chittyid', passed: false, detail: expect.stringContaining('never minted') }),
      expect.objectContaining({ name: 'dna', passed: false, detail: expect.stringContaining('another') }),
      expect.objectContaining({ name: 'apiKeys', passed: false, detail: expect.stringContaining('something else') }),
    ]);
  });

  it.each([
    ['a record that does not exist', { dna: 'dna_nothing' }, 'dna'],
    ['keys that do not exist', { apiKeys: ['key_nothing'] }, 'apiKeys'],
    ['no keys at all', { apiKeys: [] }, 'apiKeys'],
  ])('fails %s and nothing else', async (_name, fault, name) => {
    const { body } = await verify({ ...(await context()), ...fault });
    expect(body.status).toBe('failed');
    const checks = z.array(z.object({ name: z.string(), passed: z.boolean() })).parse(body.checks);
    expect(checks.filter(({ passed }) => !passed).map((check) => check.name)).toEqual([name]);
  });

  it('fails until what was missing is there, as a new verification', async () => {
    const chittyid = await mint();
    const { keyId } = await provisionKeys(chittyid);
    const dna = chittyid;
    const before = await verify({ chittyid, dna, apiKeys: keyId });
    await initializeDna(chittyid);
    const after = await verify({ chittyid, dna, apiKeys: keyId });
    expect([before.body.status, after.body.status]).toEqual(['failed', 'verified']);
    expect(await done('verify', `/api/verifications/${before.body.id}`)).toMatchObject({ status: 'failed' });
  });

  it.each([{}, { chittyid: 'x', dna: 1, apiKeys: 'x' }, { chittyid: 'x', dna: {}, apiKeys: 'x' }])(
    'refuses %j',
    async (json) => {
      expect((await verify(json)).status).toBe(400);
    },
  );
});

describe('verifying one thing', () => {
  const check = (what: string, json: object) => call('verify', `/api/verify/${what}`, { json });

  it('tells good ones from bad ones', async () => {
    const { chittyid, dna, apiKeys: keyId } = await context();
    const other = await mint();
    const found = await Promise.all([
      check('chittyid', { chittyid }),
      check('chittyid', { chittyid: 'nothing' }),
      check('dna', { chittyid, dna }),
      check('dna', { chittyid: other, dna }),
      check('apikey', { chittyid, keyId }),
      check('apikey', { chittyid: other, keyId }),
    ]);
    expect(found.map(({ body }) => body.valid)).toEqual([true, false, true, false, true, false]);
    expect(found.map(({ body }) => body.status)).toEqual([
      'verified',
      'failed',
      'verified',
      'failed',
      'verified',
      'failed',
    ]);
  });

  it('refuses what is incomplete', async () => {
    expect((await check('chittyid', {})).status).toBe(400);
    expect((await check('dna', { chittyid: 'x' })).status).toBe(400);
    expect((await check('apikey', { chittyid: 'x' })).status).toBe(400);
    expect((await check('nothing', {})).status).toBe(404);
  });
});

describe('certifying', () => {
  it('issues a certificate that stays as it is', async () => {
    const verification = await verifiedContext();
    const { status, body } = await certify({ verification, ...RULES });
    expect(status).toBe(201);
    expect(body).toMatchObject({ kind: 'context', status: 'certified', verification, ...RULES });
    expect(Date.parse(String(body.expiresAt))).toBeGreaterThan(Date.now());
    await evictDurableObject(env.CHITTY_CERTIFY.getByName(partitionName(String(body.id))));
    expect(await done('certify', `/api/certificates/${body.id}`)).toEqual(body);
  });

  it('issues one certificate for the same matter, and another for another', async () => {
    const verification = await verifiedContext();
    const answers = await Promise.all(Array.from({ length: 5 }, () => certify({ verification, ...RULES })));
    expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    const other = await certify({ verification, ...RULES, securityLevel: 'high' });
    expect(other.body.id).not.toBe(answers[0]?.body.id);
  });

  it('certifies a service whose ChittyID was verified, which is no context', async () => {
    const chittyid = await mint('T');
    const { id: verification } = await done('verify', '/api/verify/chittyid', { json: { chittyid } });
    expect((await certify({ verification, ...RULES }, 'service')).body).toMatchObject({
      kind: 'service',
      subject: chittyid,
    });
    expect((await certify({ verification, ...RULES })).status).toBe(422);
  });

  it('certifies nothing that was not verified', async () => {
    const failed = await verify({ ...(await context()), dna: 'nothing' });
    expect((await certify({ verification: failed.body, ...RULES })).status).toBe(422);
    expect((await certify({ verification: 'ver_nothing', ...RULES })).status).toBe(422);
  });

  it.each([{}, { verification: 'x', ...RULES, compliantWith: [] }, { verification: 'x', ...RULES, trust: 5 }])(
    'refuses %j',
    async (json) => {
      expect((await certify(json)).status).toBe(400);
    },
  );

  it('finds no certificate where there is none, and makes no object for it', async () => {
    const before = await listDurableObjectIds(env.CHITTY_CERTIFY);
    expect((await call('certify', '/api/certificates/crt_nothing')).status).toBe(404);
    expect((await call('verify', '/api/verifications/ver_nothing')).status).toBe(404);
    expect(await listDurableObjectIds(env.CHITTY_CERTIFY)).toEqual(before);
  });
});

describe('a certificate', () => {
  const certificateSchema = z.looseObject({
    proof: z.strictObject({
      type: z.literal('Ed25519'),
      publicKey: z.strictObject({ kty: z.string(), crv: z.string(), x: z.string(), kid: z.string() }),
      signature: z.string(),
    }),
  });

  /** What any reader does: takes the signature out and checks it over the canonical text of the rest. */
  async function isSigned(certificate: JsonObject): Promise<boolean> {
    const { proof } = certificateSchema.parse(certificate);
    const { signature, ...unsigned } = proof;
    const { kid: _, ...jwk } = proof.publicKey;
    const key = await crypto.subtle.importKey('jwk', jwk, 'Ed25519', false, ['verify']);
    const bytes = Uint8Array.from(atob(signature.replaceAll('-', '+').replaceAll('_', '/')), (character) =>
      character.charCodeAt(0),
    );
    const text = new TextEncoder().encode(canonicalText({ ...certificate, proof: unsigned }));
    return crypto.subtle.verify('Ed25519', key, bytes, text);
  }

  const read = async (): Promise<JsonObject> => {
    const { body } = await certify({ verification: await verifiedContext(), ...RULES });
    return (await call<JsonObject>('certify', `/api/certificates/${body.id}`)).body;
  };

  it('can be checked by anyone who reads it', async () => {
    const certificate = await read();
    expect(await isSigned(certificate)).toBe(true);
    expect(await isSigned({ ...certificate, securityLevel: 'top' })).toBe(false);
    expect(await isSigned({ ...certificate, subject: '03-1-USA-5537-P-2602-0-38' })).toBe(false);
  });

  it('is listed once however often it is asked for', async () => {
    const verification = await verifiedContext();
    const { id } = (await certify({ verification, ...RULES })).body;
    await certify({ verification, ...RULES });
    for (let others = 0; others < 4; others++) await read();
    const all = await listAll('certify', '/api/certificates', 'certificates', 2);
    expect(all).toEqual(await listAll('certify', '/api/certificates', 'certificates', 1_000));
    expect(all.filter((certificate) => certificate.id === id)).toEqual([
      await done('certify', `/api/certificates/${id}`),
    ]);
  });

  it('is signed with the key that the service publishes, which stays across an eviction', async () => {
    const { proof } = certificateSchema.parse(await read());
    await evictDurableObject(env.CHITTY_CERTIFY.getByName('single'));
    const { keys } = await done('certify', '/api/keys');
    expect(keys).toEqual([{ ...proof.publicKey, use: 'sig', alg: 'EdDSA' }]);
    expect(certificateSchema.parse(await read()).proof.publicKey).toEqual(proof.publicKey);
  });
});
