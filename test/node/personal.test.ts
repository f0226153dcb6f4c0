import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sealedSubject } from '../../client/client.ts';
import { actorEvents } from '../../events/actor.ts';
import { contextEvents } from '../../events/context.ts';
import { countSealed, personalFields, readSealed } from '../../events/personal.ts';
import { newPersonalKey, openValue, sealValue } from '../../events/personal-cipher.ts';
import { keyWrapOf } from '../../src/privacy/key-wrap.ts';
import { printedSeed } from '../support/seed.ts';

const STREAM = 'context/ctx_1';
const key = newPersonalKey();
const seal = (value: Parameters<typeof sealValue>[0]) => sealValue(value, 'customer-42', key, STREAM);

describe('a sealed value', () => {
  it('opens to what it was, whatever JSON that is, and only as a whole', () => {
    const seed = printedSeed('sealed values');
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(), (value, place) => {
        const text = seal(JSON.parse(JSON.stringify(value)));
        expect(openValue(text, key, STREAM)).toEqual(JSON.parse(JSON.stringify(value)));
        const sealed = readSealed(text);
        if (sealed === null) throw new Error('it is none');
        expect(sealed).toMatchObject({ subject: 'customer-42', key: key.id });
        const at = text.length - sealed.box.length + (place % (sealed.box.length - 4));
        const altered = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
        expect(openValue(altered, key, STREAM)).toBeUndefined();
      }),
      { seed },
    );
  });

  it('opens with its key, in its stream, as its person’s', () => {
    const text = seal('Hedwig');
    expect(openValue(text, { ...key, bytes: newPersonalKey().bytes }, STREAM)).toBeUndefined();
    expect(openValue(text, newPersonalKey(), STREAM)).toBeUndefined();
    expect(openValue(text, key, 'context/ctx_2')).toBeUndefined();
    expect(openValue(text.replace('customer-42', 'customer-43'), key, STREAM)).toBeUndefined();
  });

  it('tells neither the words, nor whether two are the same, nor how long a short one is', () => {
    // Long enough that no random bytes spell it in base64.
    const [one, other, short] = [seal('Nightingale of Florence'), seal('Nightingale of Florence'), seal('A.')];
    expect(one).not.toContain('Nightingale');
    expect(one).not.toBe(other);
    expect(short).toHaveLength(one.length);
  });

  it('is told from other values by the client, which says whose it is', () => {
    expect(sealedSubject(seal('Hedwig'))).toBe('customer-42');
    for (const value of ['Hedwig', 'sealed:v1:', 7, null, { a: seal('x') }]) expect(sealedSubject(value)).toBeNull();
  });

  it('is counted in JSON text where it is a value, and not where it is only spoken of', () => {
    const sealed = seal('x');
    expect(countSealed(JSON.stringify({ a: sealed, b: [sealed] }))).toBe(2);
    expect(countSealed(JSON.stringify({ a: `it says ${JSON.stringify(sealed)}`, b: 'sealed' }))).toBe(0);
    expect(countSealed(JSON.stringify({ a: '\\', b: 'sealed:v1:' }))).toBe(1);
  });
});

describe('the schemas of events', () => {
  const marked = (events: Readonly<Record<string, Parameters<typeof personalFields>[0]>>) =>
    Object.fromEntries(
      Object.entries(events).flatMap(([type, schema]) => {
        const fields = personalFields(schema).map(({ name, whose }) => `${name}: ${whose}`);
        return fields.length === 0 ? [] : [[type, fields]];
      }),
    );

  it('mark every field that people write something of themselves in', () => {
    expect(marked(actorEvents)).toEqual({
      actor_registered: ['name: self', 'description: self'],
      actor_updated: ['name: self', 'description: self'],
      actor_suspended: ['reason: self'],
      key_issued: ['name: self'],
      session_started: ['device: self'],
    });
    expect(marked(contextEvents)).toEqual({
      note_added: ['text: author'],
      proposal_made: ['message: author'],
      proposal_commented: ['text: author'],
      proposal_rejected: ['reason: author'],
      legal_hold_placed: ['reason: author'],
    });
  });

  it('take words as older events have them, and sealed ones however long', () => {
    const note = (text: string) => contextEvents.note_added.safeParse({ note: 'note_1', text }).success;
    expect(note('as it was written before')).toBe(true);
    expect(note(seal('w'.repeat(2_000)))).toBe(true);
    expect(note('w'.repeat(2_001))).toBe(false);
    expect(note('sealed:v1:nothing')).toBe(true);
  });
});

describe('a key at rest', () => {
  const one = 'dGhlIGtleSBlbmNyeXB0aW9uIGtleSBvZiB0ZXN0cyE';
  const other = 'YW5vdGhlciBrZXkgZW5jcnlwdGlvbiBrZXkgaGVyZSE';
  const { bytes } = newPersonalKey();

  it('opens under the key that it was wrapped with, also when that is the one before, for whom it is', () => {
    const wrapped = keyWrapOf({ KEY_ENCRYPTION_KEY: one }).wrap(bytes, 'ann');
    const rotated = keyWrapOf({ KEY_ENCRYPTION_KEY: other, KEY_ENCRYPTION_KEY_PREVIOUS: one });
    expect(rotated.unwrap(wrapped, 'ann')).toEqual(bytes);
    expect(rotated.isCurrent(wrapped)).toBe(false);
    expect(rotated.isCurrent(rotated.wrap(bytes, 'ann'))).toBe(true);
    expect(rotated.unwrap(wrapped, 'ben')).toBeNull();
    expect(keyWrapOf({ KEY_ENCRYPTION_KEY: other }).unwrap(wrapped, 'ann')).toBeNull();
    expect(keyWrapOf({}).unwrap(wrapped, 'ann')).toBeNull();
  });

  it('stands as it is where there is no key encryption key, and is wrapped once there is', () => {
    const bare = keyWrapOf({}).wrap(bytes, 'ann');
    expect(keyWrapOf({}).isCurrent(bare)).toBe(true);
    const later = keyWrapOf({ KEY_ENCRYPTION_KEY: one });
    expect(later.unwrap(bare, 'ann')).toEqual(bytes);
    expect(later.isCurrent(bare)).toBe(false);
  });
});
