import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { chittyAuthClient } from '../../src/chittyos/chitty-auth.ts';
import { chittyCertifyClient } from '../../src/chittyos/chitty-certify.ts';
import { chittyChronicleClient } from '../../src/chittyos/chitty-chronicle.ts';
import { type CloudEvent, chittyDnaClient } from '../../src/chittyos/chitty-dna.ts';
import { chittyIdClient } from '../../src/chittyos/chitty-id.ts';
import { chittyRegistryClient } from '../../src/chittyos/chitty-registry.ts';
import { chittyVerifyClient } from '../../src/chittyos/chitty-verify.ts';
import type { CallResult } from '../../src/chittyos/failure.ts';
import { RegistryCache } from '../../src/chittyos/registry-cache.ts';
import { connection, failureOf, json, network } from './chittyos-network.ts';

/** Ids that the real authority has minted. */
const REAL = ['03-1-USA-5537-P-2602-0-38', '03-1-USA-7165-T-2602-0-13', '03-1-USA-1399-T-2603-0-70'] as const;
const [ID] = REAL;

const request = { entity: 'P', characterization: 'Synthetic' } as const;
const keys = { service: 'chittyconnect', context: 'ctx_1', scopes: ['read'] };
const dna = {
  chittyid: ID,
  type: 'context',
  metadata: {},
  genesis: { service: 'chittyconnect', timestamp: '2026-07-01T00:00:00.000Z', genesisSchemaVersion: '1.0.0' },
};
const event: CloudEvent = {
  specversion: '1.0',
  id: '01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
  source: '/v1/contexts/ctx_1',
  type: 'cc.chitty.connect.context_created',
  sequence: 1,
  data: {},
};
const evidence = { chittyid: ID, dna: 'dna_1', apiKeys: 'key_1' };
const certify = { verification: 'ver_1', compliantWith: ['chittyos-v1'], securityLevel: 'standard' };
const entry = { id: 'e1', eventType: 'context_created', entityId: ID, data: {}, timestamp: '2026-07-01T00:00:00.000Z' };
const me = { chittyid: ID, name: 'me', type: 'core', capabilities: ['x'], health: 'https://me.test/health' };

type Send = ReturnType<typeof network>['send'];
const id = (send: Send) => chittyIdClient(connection(send));
const auth = (send: Send) => chittyAuthClient(connection(send));
const registry = (send: Send) =>
  chittyRegistryClient(connection(send), {
    cache: new RegistryCache(),
    waitUntil: () => undefined,
    fallback: undefined,
  });
const record = (send: Send) => chittyDnaClient(connection(send));
const verify = (send: Send) => chittyVerifyClient(connection(send));
const certificates = (send: Send) => chittyCertifyClient(connection(send));
const chronicle = (send: Send) => chittyChronicleClient(connection(send));

/** Every operation: its name, how it is called, a good answer, what is sent, and whether X-ChittyID is. */
const operations: [
  name: string,
  run: (send: Send) => Promise<CallResult<unknown>>,
  answer: unknown,
  line: string,
  body: unknown,
  isAboutOne: boolean,
][] = [
  // Both names of the entity: the authority has read one and the other.
  ['mint', (send) => id(send).mint(request), { id: ID }, 'POST /v1/mint', { ...request, entityType: 'P' }, false],
  ['validate', (send) => id(send).validate(ID), { valid: true }, 'POST /v1/validate', { chittyid: ID }, false],
  ['info', (send) => id(send).info(ID), { id: ID }, `GET /v1/${ID}/info`, null, true],
  ['did', (send) => id(send).did(ID), { id: `did:chitty:${ID}` }, `GET /v1/${ID}/did`, null, true],
  [
    'provisionKeys',
    (send) => auth(send).provisionKeys(ID, keys),
    { keyId: 'k', key: 's' },
    'POST /api/keys/provision',
    keys,
    true,
  ],
  [
    'verify',
    (send) => auth(send).verify('t'),
    { valid: false, error: 'old' },
    'POST /api/verify',
    { token: 't' },
    false,
  ],
  ['refresh', (send) => auth(send).refresh('r'), { token: 't' }, 'POST /api/refresh', { refreshToken: 'r' }, false],
  ['discover', (send) => registry(send).discover(), { services: [] }, 'GET /api/services?exclude=context', null, false],
  ['service', (send) => registry(send).service('x'), { id: 'x', name: 'X' }, 'GET /api/services/x', null, false],
  ['register', (send) => registry(send).register(me), { id: 'x' }, 'POST /api/services/register', me, true],
  ['initialize', (send) => record(send).initialize(dna), { id: 'dna_1' }, 'POST /api/initialize', dna, true],
  [
    'evolve',
    (send) => record(send).evolve('dna_1', [event]),
    { accepted: 1, duplicates: 0 },
    'POST /api/dna/dna_1/evolve',
    [event],
    false,
  ],
  [
    'archive',
    (send) => record(send).archive('dna_1'),
    { id: 'dna_1', status: 'archived' },
    'POST /api/dna/dna_1/archive',
    {},
    false,
  ],
  [
    'read',
    (send) => record(send).read('dna_1', { limit: 5 }),
    { id: 'dna_1' },
    'GET /api/dna/dna_1?limit=5',
    null,
    false,
  ],
  [
    'verifyContext',
    (send) => verify(send).verifyContext(evidence),
    { id: 'ver_1', status: 'verified' },
    'POST /api/verify/context',
    evidence,
    true,
  ],
  [
    'chittyid',
    (send) => verify(send).chittyid(ID),
    { valid: true },
    'POST /api/verify/chittyid',
    { chittyid: ID },
    true,
  ],
  [
    'dna',
    (send) => verify(send).dna(ID, 'dna_1'),
    { status: 'verified' },
    'POST /api/verify/dna',
    { chittyid: ID, dna: 'dna_1' },
    true,
  ],
  [
    'apikey',
    (send) => verify(send).apikey(ID, 'k'),
    { valid: false, error: 'unknown' },
    'POST /api/verify/apikey',
    { chittyid: ID, keyId: 'k' },
    true,
  ],
  [
    'certifyContext',
    (send) => certificates(send).certifyContext(ID, certify),
    { id: 'cert_1' },
    'POST /api/certify/context',
    certify,
    true,
  ],
  [
    'certifyService',
    (send) => certificates(send).certifyService(ID, certify),
    { id: 'cert_1' },
    'POST /api/certify/service',
    certify,
    true,
  ],
  ['certificate', (send) => certificates(send).certificate('c'), { id: 'c' }, 'GET /api/certificates/c', null, false],
  ['log', (send) => chronicle(send).log(entry), { id: 'e1' }, 'POST /api/entries', entry, true],
  [
    'logBatch',
    (send) => chronicle(send).logBatch([entry]),
    { accepted: 1, duplicates: 0 },
    'POST /api/entries/batch',
    { entries: [entry] },
    false,
  ],
  [
    'entries',
    (send) => chronicle(send).entries({ entityId: ID, limit: 5 }),
    { entries: [] },
    `GET /api/entries?entityId=${ID}&limit=5`,
    null,
    false,
  ],
  ['timeline', (send) => chronicle(send).timeline('a b'), [], 'GET /api/timeline/a%20b', null, false],
  [
    'relationships',
    (send) => chronicle(send).relationships({ from: 'a', to: 'b', type: 'uses' }),
    { id: 'r1' },
    'POST /api/relationships',
    { from: 'a', to: 'b', type: 'uses' },
    false,
  ],
  ['history', (send) => chronicle(send).history(ID), { entries: [] }, `GET /api/entities/${ID}/history`, null, true],
];

beforeEach(() => {
  // Reads are tried again at once.
  vi.spyOn(Math, 'random').mockReturnValue(0);
});

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the operations', () => {
  it.each(operations)('%s is sent as the service wants it', async (_name, run, answer, line, body, isAboutOne) => {
    const { send, received } = network(json(answer));
    expect(await run(send)).toMatchObject({ ok: true });
    const [sent] = received;
    expect(`${sent?.method} ${sent?.url.replace('https://id.chitty.test', '')}`).toBe(line);
    expect(JSON.parse(sent?.body ?? 'null')).toEqual(body);
    expect(sent?.headers.get('X-ChittyID')).toBe(isAboutOne ? ID : null);
  });

  it.each(operations)('%s tells that the service refuses, by its name', async (name, run) => {
    expect(failureOf(await run(network(json({ detail: 'no' }, 403)).send))).toMatchObject({
      operation: name,
      kind: 'status',
      status: 403,
    });
  });

  it.each(operations)('%s takes no other JSON for an answer', async (_name, run) => {
    for (const wrong of [{ weather: 'sunny', wind: [3, 4, 5] }, {}, [[1]], 5]) {
      expect(failureOf(await run(network(json(wrong)).send)).kind).toBe('wrong-answer');
    }
  });

  it('evolve sends a batch of CloudEvents', async () => {
    const { send, received } = network(json({ accepted: 1, duplicates: 0 }));
    await record(send).evolve('dna_1', [event]);
    expect(received[0]?.headers.get('Content-Type')).toBe('application/cloudevents-batch+json');
  });
});

describe('what mint answers', () => {
  const mint = (answer: unknown) => id(network(json(answer)).send).mint(request);

  it.each(['id', 'chittyId', 'chittyid'])('may have the ChittyID in "%s"', async (member) => {
    expect(await mint({ [member]: ID, trustLevel: 0 })).toEqual({
      ok: true,
      value: { id: ID, did: `did:chitty:${ID}`, trustLevel: 0 },
    });
  });

  it('may have an id of another kind beside the ChittyID', async () => {
    expect(await mint({ id: '42', chittyId: ID })).toMatchObject({ ok: true, value: { id: ID } });
  });

  it.each([
    [{}],
    [{ id: '' }],
    [{ id: 'undefined' }],
    [{ id: '03-1-USA-5537-P-2602-0-39' }],
    [{ id: null }],
    [{ success: false, error: 'Invalid entityType', id: ID }],
  ])('is no ChittyID when it is %j', async (answer) => {
    expect(failureOf(await mint(answer)).kind).toBe('wrong-answer');
  });
});

describe('a key', () => {
  it('may be missing from the answer to a repeated request, which shows it no more', async () => {
    const found = await auth(network(json({ keyId: 'k' })).send).provisionKeys(ID, keys);
    expect(found).toEqual({ ok: true, value: { keyId: 'k' } });
  });

  it('may come as "accessToken" when it is refreshed', async () => {
    const found = await auth(network(json({ accessToken: 't' })).send).refresh('r');
    expect(found).toEqual({ ok: true, value: { token: 't' } });
  });
});

describe('a batch', () => {
  it.each([
    { accepted: 1, duplicates: 0 },
    { accepted: 0, duplicates: 0 },
    { accepted: 3, duplicates: 0 },
    { accepted: 2 },
    { accepted: 3, duplicates: -1 },
  ])('of two is not taken to have arrived when the answer is %j', async (answer) => {
    const two = [event, { ...event, id: '2', sequence: 2 }];
    expect(failureOf(await record(network(json(answer)).send).evolve('dna_1', two)).kind).toBe('wrong-answer');
    const entries = [entry, { ...entry, id: 'e2' }];
    expect(failureOf(await chronicle(network(json(answer)).send).logBatch(entries)).kind).toBe('wrong-answer');
  });

  it('of two has arrived when one of them was there already', async () => {
    const answer = { accepted: 1, duplicates: 1 };
    const entries = [entry, { ...entry, id: 'e2' }];
    expect(await chronicle(network(json(answer)).send).logBatch(entries)).toEqual({ ok: true, value: answer });
  });
});

describe('a list of the chronicle', () => {
  it.each([
    [[{ id: 'e1' }], null],
    [{ entries: [{ id: 'e1' }] }, null],
    [{ entries: [{ id: 'e1' }], nextAfter: 5 }, 5],
  ])('may come as %j', async (answer, nextAfter) => {
    const { send, received } = network(json(answer));
    const found = await chronicle(send).history('a', { after: 1, limit: 1 });
    expect(found).toEqual({ ok: true, value: { entries: [{ id: 'e1' }], nextAfter } });
    expect(received[0]?.url).toMatch(/\/api\/entities\/a\/history\?after=1&limit=1$/);
  });
});

describe('an entity of the chronicle', () => {
  it('may have any name: X-ChittyID is sent only for a ChittyID', async () => {
    const { send, received } = network(json({ id: 'e1' }));
    expect((await chronicle(send).log({ ...entry, entityId: 'Küche' })).ok).toBe(true);
    expect(received[0]?.headers.has('X-ChittyID')).toBe(false);
  });
});
