import { beforeAll, describe, expect, it } from 'vitest';
import { expectJson } from '../support/actors.ts';
import { expectProblem, historyText } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

let ann: Person;
beforeAll(async () => {
  ann = await person('Ann');
});

const customer = { name: 'Hedwig', phone: '+49 171', orders: [1, 2], note: null };
const WHOLE = [{ pointer: '/metadata/customer', subject: 'customer-42' }];
const NAME = [{ pointer: '/metadata/customer/name', subject: 'customer-43' }];

const setRules = async (context: string, rules: object[]) =>
  expectJson(await ann.call(`${context}/privacy`, { method: 'PUT', json: { rules } }), 200);

const metadataOf = async (context: string) =>
  (await expectJson<{ metadata: Record<string, unknown> }>(await ann.call(context), 200)).metadata;

const erase = async (context: string, subject: string) =>
  expectJson(await ann.post(`${context}/erasures`, { subject }), 201);

const revert = async (context: string, to: number) =>
  expectJson(await ann.post(`${context}/revert`, { to, onConflict: 'overwrite' }), 200);

/** A proposal of somebody else's. @returns its path */
async function propose(context: string, metadata: object): Promise<string> {
  const bob = await person('Bob');
  await share(ann, context, bob);
  const made = await bob.post(`${context}/proposals`, { change: { metadata } });
  return `${context}/proposals/${(await expectJson<{ id: string }>(made, 201)).id}`;
}

/** What of a proposal is about the metadata. */
const proposed = async (path: string) =>
  (await expectJson<{ change: { metadata: object } }>(await ann.call(path), 200)).change.metadata;

const lastLine = (text: string) => text.trimEnd().split('\n').at(-1);

describe('what is sealed as one whole', () => {
  it('keeps all its parts when a rule comes to name one of them, and each part is whose it was or is to be', async () => {
    const context = await contextOf(ann, { metadata: { customer }, privacy: WHOLE });
    await setRules(context, NAME);
    expect(await metadataOf(context)).toEqual({ customer });
    expect(await historyText(idOf(context))).not.toContain('+49 171');
    await erase(context, 'customer-43');
    expect(await metadataOf(context)).toEqual({ customer: { ...customer, name: '[erased]' } });
    await erase(context, 'customer-42');
    const erased = { name: '[erased]', phone: '[erased]', orders: '[erased]', note: '[erased]' };
    expect(await metadataOf(context)).toEqual({ customer: erased });
  });

  it('keeps all its parts when a patch reaches into it that no rule names any more', async () => {
    const context = await contextOf(ann, { metadata: { customer }, privacy: WHOLE });
    await setRules(context, []);
    expect(await metadataOf(context)).toEqual({ customer });
    await expectJson(await ann.patch(context, { metadata: { customer: { phone: '+49 172', orders: null } } }), 200);
    expect(await metadataOf(context)).toEqual({ customer: { name: 'Hedwig', phone: '+49 172', note: null } });
    const { orders: _orders, ...others } = customer;
    await setRules(context, [{ pointer: '/metadata/customer/mail', subject: 'customer-43' }]);
    await expectJson(await ann.patch(context, { metadata: { customer: { mail: 'h@example.org' } } }), 200);
    expect(await metadataOf(context)).toEqual({ customer: { ...others, phone: '+49 172', mail: 'h@example.org' } });
    expect(await historyText(idOf(context))).not.toMatch(/Hedwig|\+49 17|example\.org/);
    await erase(context, 'customer-42');
    expect(await metadataOf(context)).toMatchObject({ customer: { name: '[erased]', mail: 'h@example.org' } });
    // Something else can stand there, which is nobody's words.
    await expectJson(await ann.patch(context, { metadata: { customer: 'nobody' } }), 200);
    expect(await metadataOf(context)).toEqual({ customer: 'nobody' });
  });

  it('is not taken apart into more parts than an event should have', async () => {
    const many = Object.fromEntries(Array.from({ length: 501 }, (_, n) => [`m${n}`, n]));
    const context = await contextOf(ann, { metadata: { customer: many }, privacy: WHOLE });
    const rules = [{ pointer: '/metadata/customer/m1', subject: 'customer-43' }];
    const response = await ann.call(`${context}/privacy`, { method: 'PUT', json: { rules } });
    await expectProblem(response, 409, 'limit-reached');
    expect(await metadataOf(context)).toEqual({ customer: many });
  });
});

describe('words that were sealed', () => {
  it('do not come back in the clear by a revert when no rule names them any more', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig Zwick', k: 1 }, privacy: WHOLE });
    await expectJson(await ann.patch(context, { metadata: { customer: null } }), 200);
    await setRules(context, []);
    await revert(context, 1);
    expect(await metadataOf(context)).toEqual({ customer: 'Hedwig Zwick', k: 1 });
    await erase(context, 'customer-42');
    expect(await metadataOf(context)).toEqual({ customer: '[erased]', k: 1 });
    expect(await historyText(idOf(context))).not.toContain('Hedwig');
  });

  it('come back by a revert under the rule that names them now', async () => {
    const context = await contextOf(ann, { metadata: { customer }, privacy: WHOLE });
    await expectJson(await ann.patch(context, { metadata: { customer: null } }), 200);
    await setRules(context, NAME);
    await revert(context, 1);
    expect(await metadataOf(context)).toEqual({ customer });
    await erase(context, 'customer-43');
    expect(await metadataOf(context)).toEqual({ customer: { ...customer, name: '[erased]' } });
    expect(await historyText(idOf(context))).not.toMatch(/Hedwig|\+49 171/);
  });

  it('stay sealed in a proposal that is rebased and approved when no rule names them any more', async () => {
    const context = await contextOf(ann, { metadata: { customer: { name: 'The old one', k: 1 } }, privacy: WHOLE });
    const bob = await person('Bob');
    await share(ann, context, bob);
    const change = { metadata: { customer: { name: 'Hedwig' } } };
    const { id } = await expectJson<{ id: string }>(await bob.post(`${context}/proposals`, { change }), 201);
    await setRules(context, []);
    await expectJson(await ann.patch(context, { metadata: { customer: { k: 2 } } }), 200);
    await expectJson(await bob.post(`${context}/proposals/${id}/rebase`), 200);
    await expectJson(await ann.post(`${context}/proposals/${id}/approve`), 200);
    expect(await metadataOf(context)).toEqual({ customer: { name: 'Hedwig', k: 2 } });
    await erase(context, 'customer-42');
    expect(await metadataOf(context)).toEqual({ customer: '[erased]' });
    expect(await historyText(idOf(context))).not.toMatch(/Hedwig|The old one/);
  });

  it('and erased do not keep what is beside them from being reverted', async () => {
    const rules = [{ pointer: '/metadata/a/customer', subject: 'customer-42' }];
    const context = await contextOf(ann, { metadata: { a: { customer: 'Hedwig', k: 1 } }, privacy: rules });
    await expectJson(await ann.patch(context, { metadata: { a: { k: 2 } } }), 200);
    await erase(context, 'customer-42');
    await revert(context, 1);
    expect(await metadataOf(context)).toEqual({ a: { customer: '[erased]', k: 1 } });
    // They stay what they were, and do not become those of somebody else.
    const sealed = await (await ann.call(`${context}?form=sealed`)).text();
    expect(sealed).toContain('"customer":"sealed:v1:customer-42:');
    await setRules(context, [{ pointer: '/metadata/a', subject: 'customer-43' }]);
    expect(await metadataOf(context)).toEqual({ a: { customer: '[erased]', k: 1 } });
  });
});

describe('rules that come later', () => {
  it('seal what a deleted context has', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig', k: 1 } });
    expect((await ann.remove(context)).status).toBe(204);
    await setRules(context, WHOLE);
    await expectProblem(await ann.patch(context, { metadata: { k: 2 } }), 409, 'deleted');
    await expectJson(await ann.post(`${context}/restore`), 200);
    await erase(context, 'customer-42');
    expect(await metadataOf(context)).toEqual({ customer: '[erased]', k: 1 });
  });

  it('seal what open proposals have, which stay what they were otherwise', async () => {
    const context = await contextOf(ann, { metadata: { k: 1 } });
    const [one, other] = [await propose(context, { customer: 'Hedwig' }), await propose(context, { k: 2 })];
    const before = await expectJson(await ann.call(one), 200);
    await setRules(context, WHOLE);
    expect(await ann.call(one).then((response) => expectJson(response, 200))).toEqual(before);
    expect((await historyText(idOf(context))).match(/"type":"proposal_sealed"/g)).toHaveLength(1);
    await erase(context, 'customer-42');
    expect(await proposed(one)).toEqual({ customer: '[erased]' });
    expect(await proposed(other)).toEqual({ k: 2 });
  });

  it('change nothing of what they seal: a proposal about it can be approved, and what was read before still stands', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig', k: 1 } });
    const path = await propose(context, { customer: 'Hedwig Zwick' });
    const before = await ann.call(context);
    const { updatedAt } = await expectJson<{ updatedAt: string }>(before.clone(), 200);
    await setRules(context, WHOLE);
    const after = await expectJson(await ann.call(context), 200);
    expect(after).toMatchObject({ updatedAt, metadata: { customer: 'Hedwig' } });
    const ifMatch = { 'If-Match': before.headers.get('ETag') ?? '' };
    const patched = await ann.call(context, { method: 'PATCH', json: { metadata: { k: 2 } }, headers: ifMatch });
    await expectJson(patched, 200);
    await expectJson(await ann.post(`${path}/approve`), 200);
    expect(await metadataOf(context)).toEqual({ customer: 'Hedwig Zwick', k: 2 });
    await erase(context, 'customer-42');
    expect(await metadataOf(context)).toEqual({ customer: '[erased]', k: 2 });
  });

  it('do not pass for a change by whoever sets them when a revert looks for what others changed', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig' } });
    const bob = await person('Bob');
    await share(ann, context, bob);
    await expectJson(await bob.patch(context, { metadata: { customer: 'Hedwig Zwick' } }), 200);
    await setRules(context, WHOLE);
    const refused = await expectProblem(await ann.post(`${context}/revert`, { to: 1 }), 409, 'conflict');
    expect(refused).toMatchObject({ conflicts: [{ pointer: '/metadata/customer', actor: bob.id }] });
    await expectJson(await bob.post(`${context}/revert`, { to: 1 }), 200);
    expect(await metadataOf(context)).toEqual({ customer: 'Hedwig' });
    expect(await historyText(idOf(context)).then(lastLine)).not.toContain('Hedwig');
  });

  it('leave it to a conflict when a revert would take back what was erased after they sealed it', async () => {
    const context = await contextOf(ann, { metadata: { customer: 'Hedwig' } });
    const bob = await person('Bob');
    await share(ann, context, bob);
    await setRules(context, WHOLE);
    await erase(context, 'customer-42');
    const refused = await expectProblem(await bob.post(`${context}/revert`, { to: 1 }), 409, 'conflict');
    expect(refused).toMatchObject({ conflicts: [{ pointer: '/metadata/customer', actor: ann.id }] });
    expect(await metadataOf(context)).toEqual({ customer: '[erased]' });
  });
});
