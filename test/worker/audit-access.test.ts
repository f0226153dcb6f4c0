import { describe, expect, it } from 'vitest';
import { derivedId } from '../../events/id.ts';
import { as, expectJson, issueKey, registerActor } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { type AuditEntryJson, auditedLike, auditTrail } from '../support/audit.ts';
import { delegate } from '../support/delegations.ts';
import { expectInvalid, expectProblem } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

/** Somebody who may look at everything, with a key. */
async function overseer(capability: 'administrator' | 'auditor', scopes: readonly string[]): Promise<string> {
  const { id } = await registerActor();
  await api(`/v1/actors/${id}/capabilities/${capability}`, { method: 'PUT' });
  return (await issueKey(id, { scopes })).key;
}

/** Two people with a context each, and what they did. */
async function world() {
  const [ada, ben] = [await person('Ada'), await person('Ben')];
  const [adas, bens] = [await contextOf(ada), await contextOf(ben)];
  // A refusal that is about Ada's context and Ben's doing.
  await expectProblem(await ben.call(adas), 404, 'not-found');
  await auditedLike(`actor=${ben.id}&outcome=refused`, (entries) => expect(entries).toHaveLength(1));
  await auditedLike(`stream=context/${idOf(adas)}`, (entries) => expect(entries.length).toBeGreaterThan(1));
  await auditedLike(`stream=context/${idOf(bens)}`, (entries) => expect(entries).not.toEqual([]));
  return { ada, ben, adas, bens };
}

const isOf =
  ({ id }: Person) =>
  (entry: AuditEntryJson) =>
    entry.actor === id || entry.onBehalfOf === id || entry.stream === `actor/${id}`;

describe('who sees what of the trail', () => {
  it('administrators and auditors see all of it', async () => {
    const { ada, ben } = await world();
    const administrator = await overseer('administrator', ['admin', 'audit:read']);
    const auditor = await overseer('auditor', ['audit:read']);
    for (const credential of [administrator, auditor]) {
      for (const { id } of [ada, ben]) expect(await auditTrail(`actor=${id}`, credential)).not.toEqual([]);
    }
  });

  it('an administrator whose key may not be used as one sees their own part', async () => {
    const { ada } = await world();
    const credential = await overseer('administrator', ['audit:read']);
    expect(await auditTrail(`actor=${ada.id}`, credential)).toEqual([]);
  });

  it('others see their own part, whatever they ask for', async () => {
    const { ada, ben } = await world();
    for (const query of ['', `actor=${ada.id}`, `subject=${ada.id}`, 'outcome=refused', 'system=false']) {
      const entries = await auditTrail(query, ben.key);
      expect(entries.filter((entry) => !isOf(ben)(entry))).toEqual([]);
    }
    expect((await auditTrail('', ben.key)).length).toBeGreaterThan(0);
    expect(await auditTrail(`stream=actor/${ada.id}`, ben.key)).toEqual([]);
    expect(await auditTrail('stream=keyring/service', ben.key)).toEqual([]);
  });

  it('nobody learns by their own part that something is there which is hidden from them', async () => {
    const { ada, ben, adas, bens } = await world();
    const other = await person('Other');
    const { token } = await delegate(ben.key, other.id, ['contexts:read', 'contexts:write', 'audit:read']);
    await expectProblem(await as(token, adas), 404, 'not-found');
    const ends = { from: idOf(bens), to: idOf(adas), type: 'reference' };
    await expectProblem(await ben.post('/v1/connections', ends), 404, 'not-found');
    await expectProblem(await ben.patch(bens, { name: 7 }), 400, 'invalid');
    await auditedLike(`context=${idOf(adas)}&outcome=refused`, (entries) => expect(entries).toHaveLength(3));
    await auditedLike(`actor=${ben.id}&outcome=refused`, (entries) => expect(entries).toHaveLength(3));
    for (const credential of [ben.key, token]) {
      for (const query of ['', `actor=${ben.id}`, 'outcome=refused', `actor=${other.id}`]) {
        expect(JSON.stringify(await auditTrail(query, credential))).not.toContain(idOf(adas));
      }
      const reasons = (await auditTrail('outcome=refused', credential)).map(({ reason }) => reason);
      expect(reasons).toEqual(['invalid']);
    }
    expect(await auditTrail(`context=${idOf(adas)}&outcome=refused`, ada.key)).toHaveLength(3);
  });

  it('what is about a context is for its owners and auditors; for others it is not there, or not allowed', async () => {
    const { ada, ben, adas } = await world();
    const [auditor, viewer] = [await person('Auditor'), await person('Viewer')];
    await share(ada, adas, auditor, 'auditor');
    await share(ada, adas, viewer, 'viewer');
    const query = `context=${idOf(adas)}`;
    for (const { key } of [ada, auditor]) {
      const entries = await auditTrail(query, key);
      expect(entries).toContainEqual(expect.objectContaining({ actor: ben.id, outcome: 'refused', reason: 'hidden' }));
      expect(entries.filter(({ stream }) => stream !== `context/${idOf(adas)}`)).toEqual([]);
    }
    await expectProblem(await viewer.call(`/v1/audit?${query}`), 403, 'forbidden');
    await expectProblem(await ben.call(`/v1/audit?${query}`), 404, 'not-found');
    await expectProblem(await ben.call(`/v1/audit?stream=context/${idOf(adas)}`), 404, 'not-found');
    const nobody = derivedId('ctx', 'audit: nobody');
    const [hidden, missing] = [await ben.call(`/v1/audit?${query}`), await ben.call(`/v1/audit?context=${nobody}`)];
    expect(await hidden.text()).toBe(await missing.text());
  });

  it('a credential that is limited to some contexts sees what is about those, and nothing else', async () => {
    const { ada, adas } = await world();
    const other = await contextOf(ada);
    const { key } = await issueKey(ada.id, { contexts: [idOf(adas)] }, ada.key);
    expect(await auditTrail(`context=${idOf(adas)}`, key)).not.toEqual([]);
    await expectProblem(await as(key, '/v1/audit'), 403, 'forbidden');
    await expectProblem(await as(key, `/v1/audit?context=${idOf(other)}`), 404, 'not-found');
  });

  it('whoever acts for somebody sees that somebody’s part, when that was handed to them, and no more', async () => {
    const { ada, ben, adas } = await world();
    const with_ = await delegate(ada.key, ben.id, ['audit:read']);
    const entries = await auditTrail('', with_.token);
    expect(entries.filter((entry) => !isOf(ada)(entry))).toEqual([]);
    expect(entries).not.toEqual([]);
    expect(await auditTrail(`context=${idOf(adas)}`, with_.token)).not.toEqual([]);
    const without = await delegate(ada.key, ben.id, ['contexts:read']);
    await expectProblem(await as(without.token, '/v1/audit'), 403, 'insufficient-scope');
  });
});

describe('finding entries', () => {
  it('by time, credential, outcome and action, newest first, a page at a time', async () => {
    const ada = await person('Ada');
    const path = await contextOf(ada);
    const fields = ['name', 'description', 'tools', 'systems'];
    // Each changes something else, so each is an entry of its own.
    for (const field of fields) {
      const value = field.endsWith('s') ? ['new'] : 'new';
      await expectJson(await ada.patch(path, { [field]: value }), 200);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const all = await auditedLike(`credential=${ada.keyId}`, (entries) => {
      expect(entries).toHaveLength(5);
      return entries;
    });
    expect(all.map(({ id }) => id)).toEqual(
      all
        .map(({ id }) => id)
        .toSorted()
        .reverse(),
    );
    const own = `actor=${ada.id}&action=context_updated`;
    expect(await auditTrail(own)).toEqual(all.slice(0, 4));
    expect(await auditTrail(`${own}&outcome=refused`)).toEqual([]);
    const [, second] = all;
    const at = encodeURIComponent(second?.time ?? '');
    const since = await auditTrail(`${own}&from=${at}`);
    const before = await auditTrail(`${own}&to=${at}`);
    expect([...since, ...before]).toEqual(all.slice(0, 4));
    expect(since).toContainEqual(second);
    const paged: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = `actor=${ada.id}&limit=2${cursor && `&cursor=${cursor}`}`;
      const page: { items: AuditEntryJson[]; nextCursor: string | null } = await expectJson(
        await api(`/v1/audit?${query}`),
        200,
      );
      paged.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
      // What happens meanwhile moves nothing.
      await ada.patch(path, { name: `Then ${cursor}` });
    }
    expect(paged).toEqual(all.map(({ id }) => id));
  });

  it('leaves out what the service did by itself, when that is asked for', async () => {
    const entries = await auditTrail('system=false');
    expect(entries).not.toEqual([]);
    expect(entries.map(({ actor }) => actor)).not.toContain('act_system');
    await auditedLike('actor=act_system', (own) => expect(own.length).toBeGreaterThan(0));
  });

  it('gives all of it as NDJSON', async () => {
    const ada = await person('Ada');
    await contextOf(ada);
    const entries = await auditedLike(`actor=${ada.id}`, (found) => {
      expect(found).toHaveLength(1);
      return found;
    });
    const headers = { Accept: 'application/x-ndjson' };
    const response = await api(`/v1/audit?actor=${ada.id}`, { headers });
    expect(response.headers.get('Content-Type')).toBe('application/x-ndjson');
    const text = new TextDecoder().decode(await response.arrayBuffer());
    expect(
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(entries);
  });

  it.each([
    ['outcome=maybe', 'outcome', 'must be allowed or refused'],
    ['actor=x', 'actor', 'must be the id of an actor'],
    ['stream=x', 'stream', 'must be a type and an id, as actor/act_…'],
    ['credential=a%20b', 'credential', 'must be an id, no secret'],
    ['system=no', 'system', 'must be true or false'],
    ['from=3', 'from', 'must be a time with its zone such as 2026-01-31T12:00:00Z'],
    ['cursor=x', 'cursor', 'must be the nextCursor that the same query gave; start without one'],
    ['limit=501', 'limit', 'must be a whole number from 1 to 500'],
    ["action=x'--", 'action', 'must be a type of event or an action'],
    ['context=a&stream=actor/b', 'stream', 'must not come together with context'],
  ])('refuses %s', async (query, pointer, message) => {
    await expectInvalid(await api(`/v1/audit?${query}`), pointer, message);
  });
});
