import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalText } from '../../events/canonical.ts';
import { type Envelope, type EnvelopeDraft, envelopeSchema, isIntact, sealEvent } from '../../events/envelope.ts';
import { nextUlid } from '../../events/ulid.ts';

const draft: EnvelopeDraft = {
  id: '01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
  stream: 'context/ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
  version: 1,
  type: 'context_created',
  schemaVersion: 1,
  time: '2026-11-24T18:30:00.000Z',
  actor: 'act_00000000000000000000000000',
  correlationId: 'req-1',
  causationId: null,
  commandId: 'cmd-1',
  data: { name: 'Größe "€" 😀', tools: ['b', 'a'] },
};

describe('a sealed event', () => {
  it('has the leaf hash of RFC 9162 over the canonical text of everything else', () => {
    const expected = createHash('sha256')
      .update('\0')
      .update(canonicalText({ ...draft }))
      .digest('hex');
    expect(sealEvent(draft).leafHash).toBe(expected);
  });

  it('is itself canonical text, so that its bytes can be stored and sent as they are', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()),
        fc.string({ unit: 'grapheme' }),
        (data, actor) => {
          const { text, leafHash } = sealEvent({ ...draft, data: JSON.parse(JSON.stringify(data)), actor });
          const envelope: Envelope = JSON.parse(text);
          expect(canonicalText({ ...envelope })).toBe(text);
          expect(envelope.leafHash).toBe(leafHash);
          expect(isIntact(envelope)).toBe(true);
        },
      ),
    );
  });

  it('fits the wire schema', () => {
    expect(envelopeSchema.safeParse(JSON.parse(sealEvent(draft).text)).success).toBe(true);
  });

  it.each([
    'id',
    'version',
    'type',
    'time',
    'actor',
    'data',
    'stream',
    'schemaVersion',
    'correlationId',
    'commandId',
    'causationId',
  ])('is no longer intact when its %s was changed', (member) => {
    const envelope: Envelope = JSON.parse(sealEvent(draft).text);
    const value = member === 'version' || member === 'schemaVersion' ? 2 : 'changed';
    expect(isIntact({ ...envelope, [member]: member === 'data' ? { name: 'changed' } : value })).toBe(false);
  });
});

describe('the ULIDs of a stream', () => {
  it('rise within one millisecond and when the clock goes back', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 47 }), { minLength: 2, maxLength: 50 }), (clock) => {
        const ids: string[] = [];
        for (const now of clock) ids.push(nextUlid(now, ids.at(-1)));
        expect(ids).toEqual([...new Set(ids)].sort());
      }),
    );
  });

  it('rise past the last id of a millisecond', () => {
    const last = '01JD4Q2W3EZZZZZZZZZZZZZZZZ';
    expect(nextUlid(0, last) > last).toBe(true);
  });

  it('carry the time they were made at', () => {
    expect(nextUlid(1_700_000_000_000).slice(0, 10)).toBe('01HF7YAT00');
  });
});
