import { env } from 'cloudflare:workers';
import { hexToBytes } from '@noble/hashes/utils.js';
import { describe, expect, it } from 'vitest';
import { type Envelope, envelopeSchema, isIntact } from '../../events/envelope.ts';
import { verifyConsistency, verifyInclusion } from '../../events/merkle.ts';
import { parseVerifierKey } from '../../events/note-keys.ts';
import { verifyBundle } from '../../events/verify.ts';
import { as, expectJson, issueKey, keyHolder, registerActor, startSession } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { auditedLike } from '../support/audit.ts';
import { delegate } from '../support/delegations.ts';
import { derivedId, expectProblem, offset } from '../support/rest.ts';
import { unfaulted } from '../support/unfaulted.ts';

interface ProofJson {
  stream: string;
  size: number;
  root: string;
  proof: string[];
}

async function historyOf(path: string, key: string): Promise<Envelope[]> {
  return envelopeSchema.array().parse(await expectJson(await as(key, `${path}/events`), 200));
}

async function auditor(): Promise<string> {
  const { id } = await registerActor({ name: 'Auditor' });
  await api(`/v1/actors/${id}/capabilities/auditor`, { method: 'PUT' });
  return (await issueKey(id)).key;
}

const bytes = (hashes: readonly string[]) => hashes.map((hash) => hexToBytes(hash));

describe('the history of an actor', () => {
  it('says what was done to it and by whom, as it was hashed, and has no secret in it', async () => {
    const { id, key, keyId } = await keyHolder();
    const { id: session, accessToken, refreshToken } = await startSession(key);
    await api(`/v1/actors/${id}/keys/${keyId}/rotate`, { method: 'POST' });
    const events = await historyOf('/v1/actors/me', key);
    expect(events.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['actor_registered', 'key_issued', 'session_started', 'key_rotated']),
    );
    expect(events.every(isIntact)).toBe(true);
    expect(events.find(({ type }) => type === 'session_started')).toMatchObject({ actor: id, credential: keyId });
    const text = JSON.stringify(events);
    expect(text).toContain(session);
    for (const secret of [key, accessToken, refreshToken]) expect(text).not.toContain(secret.slice(30));
  });

  it('is read in pages that go on from an offset, as NDJSON with the head of its tree, and as it was', async () => {
    const { id, key } = await keyHolder();
    const path = `/v1/actors/${id}`;
    const whole = await historyOf(path, key);
    const first = await as(key, `${path}/events?limit=1`);
    expect(await first.json()).toEqual(whole.slice(0, 1));
    expect(first.headers.get('Stream-Next-Offset')).toBe(offset(`actor/${id}`, 1));
    const tag = first.headers.get('ETag') ?? '';
    expect((await as(key, `${path}/events?limit=1`, { headers: { 'If-None-Match': tag } })).status).toBe(304);
    expect(await expectJson(await as(key, `${path}/events?offset=${offset(`actor/${id}`, 1)}&limit=1`), 200)).toEqual([
      whole[1],
    ]);
    const lines = await as(key, `${path}/events?at=2`, { headers: { Accept: 'application/x-ndjson' } });
    const { root } = await expectJson<ProofJson>(await as(key, `${path}/proof?version=1&size=2`), 200);
    expect(lines.headers.get('X-Tree-Head')).toBe(`2 ${root}`);
    const text = new TextDecoder().decode(await lines.arrayBuffer());
    expect(
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(whole.slice(0, 2));
    await expectProblem(
      await as(key, `${path}/events`, { headers: { Accept: 'text/event-stream' } }),
      406,
      'not-acceptable',
    );
  });

  it('is for themselves, administrators and auditors, and for nobody else', async () => {
    const [ada, eve] = [await keyHolder(), await keyHolder()];
    const own = await historyOf('/v1/actors/me', ada.key);
    const path = `/v1/actors/${ada.id}`;
    for (const key of [String(env.BOOTSTRAP_API_KEY), await auditor()]) expect(await historyOf(path, key)).toEqual(own);
    const { token } = await delegate(ada.key, eve.id, ['actors:read']);
    for (const part of ['events', 'proof?version=1', 'bundle?wait=0']) {
      await expectProblem(await as(eve.key, `${path}/${part}`), 403, 'forbidden');
      await expectProblem(await as(token, `${path}/${part}`), 403, 'forbidden');
      const nobody = await api(`/v1/actors/${derivedId('act', 'no history')}/${part}`);
      await expectProblem(nobody, 404, 'not-found');
    }
    const narrow = await issueKey(ada.id, { scopes: ['contexts:read'] });
    await expectProblem(await as(narrow.key, `${path}/events`), 403, 'insufficient-scope');
    // An auditor is nobody's administrator by this.
    const asAuditor = await auditor();
    await expectProblem(await as(asAuditor, `${path}/keys`), 403, 'forbidden');
    expect(Object.keys(await expectJson<object>(await as(asAuditor, path), 200))).not.toContain('capabilities');
  });

  it('stays when the actor is deleted', async () => {
    const { id } = await keyHolder();
    await api(`/v1/actors/${id}`, { method: 'DELETE' });
    const response = await api(`/v1/actors/${id}/events`);
    expect(response.headers.get('Stream-Closed')).toBe('true');
    const events = envelopeSchema.array().parse(await response.json());
    expect(events.at(-1)?.type).toBe('actor_deleted');
  });

  it('is a sensitive read of somebody else’s, and as a whole an export', async () => {
    const { id, key } = await keyHolder();
    const read = async (credential: string, path: string, Accept: string) => {
      const response = await as(credential, path, { headers: { Accept } });
      expect(response.status).toBe(200);
      await response.body?.cancel();
    };
    await read(await auditor(), `/v1/actors/${id}/events`, 'application/json');
    await read(key, '/v1/actors/me/events', 'application/json');
    await read(key, '/v1/actors/me/events', 'application/x-ndjson');
    await auditedLike('action=actor.history', (entries) => {
      const reasons = entries.filter(({ stream }) => stream === `actor/${id}`).map(({ reason }) => reason);
      expect(reasons.sort()).toEqual(['credentials', 'export']);
      return reasons;
    });
  });
});

describe('the history of an actor is proved', () => {
  it('event by event, and as one that has only grown', async () => {
    const { id, key } = await keyHolder();
    const path = `/v1/actors/${id}`;
    const prove = async (query: string) => expectJson<ProofJson>(await as(key, `${path}/proof?${query}`), 200);
    const earlier = await prove('version=1');
    await issueKey(id);
    const events = await historyOf(path, key);
    for (const event of events) {
      const { stream, size, root, proof } = await prove(`version=${event.version}&size=${events.length}`);
      expect(stream).toBe(`actor/${id}`);
      const claim = { index: event.version - 1, size, root: hexToBytes(root), proof: bytes(proof) };
      expect(verifyInclusion({ ...claim, leafHash: hexToBytes(event.leafHash) })).toBe(true);
      expect(verifyInclusion({ ...claim, leafHash: hexToBytes(root) })).toBe(false);
    }
    const { size: to, root, proof } = await prove(`from=${earlier.size}`);
    const roots = { fromRoot: hexToBytes(earlier.root), toRoot: hexToBytes(root) };
    expect(verifyConsistency({ from: earlier.size, to, ...roots, proof: bytes(proof) })).toBe(true);
  });

  it('offline, by a bundle', async () => {
    const { key } = await keyHolder();
    const response = await as(key, '/v1/actors/me/bundle?wait=30');
    expect(response.status).toBe(200);
    const text = new TextDecoder().decode(await response.arrayBuffer());
    const { keys }: { keys: { key: string }[] } = await (await api('/log/keys')).json();
    const trust = { keys: keys.map((each) => unfaulted(parseVerifierKey(each.key))), witnesses: 0, earlier: [] };
    expect(verifyBundle(text, trust)).toMatchObject({ isVerified: true, findings: [] });
    expect(verifyBundle(text.replace('key_issued', 'key_rotated'), trust).isVerified).toBe(false);
  });
});
