import { describe, expect, it } from 'vitest';
import { type ContextState, contextDecider } from '../../actors/context.ts';
import { recorded } from '../../actors/decider.ts';
import type { ContextEvent } from '../../events/context.ts';
import { sealEvent } from '../../events/envelope.ts';
import { derivedId } from '../../events/id.ts';
import { nextUlid } from '../../events/ulid.ts';
import { type Carried, checkDownstream, type Downstream } from '../../scripts/fault/check-downstream.ts';
import { Deck } from '../../scripts/fault/disturb.ts';
import { seededRandom } from '../../scripts/fault/random.ts';

const id = derivedId('ctx', 'the context of these tests');
const chittyId = '03-1-USA-5537-P-2602-0-38';
const created: ContextEvent = {
  type: 'context_created',
  data: { name: 'n', description: '', owner: 'act_1', systems: [], tools: [], metadata: {} },
};

/** The whole way of a context: made, given its place, changed, deleted and brought back. */
const LIFE: readonly ContextEvent[] = [
  created,
  { type: 'context_identified', data: { chittyId, did: `did:chitty:${chittyId}` } },
  { type: 'dna_initialized', data: { dnaId: 'dna_1' } },
  { type: 'api_keys_issued', data: { keyId: 'key_1', scopes: [] } },
  { type: 'context_registered', data: {} },
  { type: 'context_verified', data: { verificationId: 'ver_1', status: 'verified' } },
  { type: 'context_certified', data: { certificateId: 'crt_1' } },
  { type: 'context_updated', data: { name: 'm' } },
  { type: 'context_deleted', data: {} },
  { type: 'context_restored', data: {} },
];

/** What is wrong elsewhere, given what had arrived and how the list shows the context. */
type Damage = (arrived: readonly Carried[], listed: string) => Partial<Downstream>;

/** A log of these events, and all that stands of it elsewhere when all is well. */
function sound(events: readonly ContextEvent[]) {
  const lines: string[] = [];
  const arrived: Carried[] = [];
  let state: ContextState = null;
  for (const [index, { type, data }] of events.entries()) {
    const { text, leafHash } = sealEvent({
      id: nextUlid(1_700_000_000_000 + index),
      stream: `context/${id}`,
      version: index + 1,
      type,
      schemaVersion: 1,
      time: new Date(1_700_000_000_000 + index).toISOString(),
      actor: 'act_1',
      correlationId: 'r',
      causationId: null,
      commandId: `command-${index}`,
      data,
    });
    lines.push(text);
    const { id: eventId, time, version }: { id: string; time: string; version: number } = JSON.parse(text);
    const carried = { id: eventId, sequence: String(version), type: `cc.chitty.connect.${type}`, time };
    arrived.push({ ...carried, leafhash: leafHash, data });
    state = contextDecider.evolve(state, recorded<ContextEvent>(JSON.parse(text)));
  }
  const has = (type: ContextEvent['type']) => events.some((event) => event.type === type);
  const downstream: Downstream = {
    chronicle: arrived,
    identifiedAs: has('context_identified') ? [chittyId] : [],
    dna: has('dna_initialized') ? { id: 'dna_1', isArchived: false, lineage: arrived } : null,
    chittyIds: has('context_identified') ? [chittyId] : [],
    keyIds: has('api_keys_issued') ? ['key_1'] : [],
    registered: has('context_registered') ? [chittyId] : [],
    certificateIds: has('context_certified') ? ['crt_1'] : [],
    listed: [JSON.stringify(state)],
  };
  return { lines, arrived, downstream };
}

/** What is said of a whole life with `damage` elsewhere. */
function verdict(damage: Damage) {
  const { lines, arrived, downstream } = sound(LIFE);
  return checkDownstream(id, lines, { ...downstream, ...damage(arrived, downstream.listed.join()) });
}

const dna = (lineage: readonly Carried[], isArchived = false) => ({ id: 'dna_1', isArchived, lineage });

describe('the check of what arrived', () => {
  it('finds nothing wrong when everything is there', () => {
    expect(verdict(() => ({}))).toEqual({ missing: [], faults: [] });
  });

  it.each<[string, Damage, RegExp]>([
    ['the last entries', (all) => ({ chronicle: all.slice(0, 8) }), /Chronicle has 8 of 10/],
    ['the last of a lineage', (all) => ({ dna: dna(all.slice(0, 9)) }), /DNA has 9 of 10/],
    ['a DNA record', () => ({ dna: null }), /DNA has no record/],
    ['a relationship', () => ({ identifiedAs: [] }), /does not say what it is identified as/],
    ['a certificate', () => ({ certificateIds: [] }), /no certificate, where .* crt_1/],
    ['a registration', () => ({ registered: [] }), /no entry in the registry/],
    ['a place in the list', () => ({ listed: [] }), /listed 0 times/],
  ])('still waits for %s', (_, damage, expected) => {
    const { missing, faults } = verdict(damage);
    expect(missing.join('\n')).toMatch(expected);
    expect(faults).toEqual([]);
  });

  it.each<[string, Damage, RegExp]>([
    [
      'an entry that came twice',
      (all) => ({ chronicle: [...all.slice(0, 3), ...all.slice(2)] }),
      /Chronicle has sequence 3 once more, after place 3/,
    ],
    [
      'one that was passed over',
      (all) => ({ chronicle: all.toSpliced(4, 1) }),
      /sequence 6 instead of sequence 5, in place 5/,
    ],
    [
      'two that changed places',
      (all) => ({ dna: dna([...all.slice(0, 8), ...all.slice(8).reverse()]) }),
      /DNA has sequence 10 instead of sequence 9/,
    ],
    [
      'one that is in no log',
      (all) => ({
        chronicle: [...all, ...all.slice(0, 1).map((event) => ({ ...event, id: 'stray', sequence: '11' }))],
      }),
      /Chronicle has event 11 \(stray, sequence 11\), the log ends at 10/,
    ],
    [
      'one with other data',
      (all) => ({
        dna: dna(all.map((event, index) => (index === 7 ? { ...event, data: {} } : event))),
      }),
      /DNA has sequence 8/,
    ],
    ['a second ChittyID', () => ({ chittyIds: [chittyId, 'x'] }), /more than one ChittyID/],
    ['another ChittyID', () => ({ chittyIds: ['x'] }), /its ChittyID is x, the log says 03/],
    ['a second certificate', () => ({ certificateIds: ['crt_1', 'crt_2'] }), /more than one cert/],
    ['a second grant of keys', () => ({ keyIds: ['key_1', 'key_2'] }), /more than one grant/],
    ['a second registration', () => ({ registered: [chittyId, chittyId] }), /more than one entry/],
    ['another identity', () => ({ identifiedAs: ['x'] }), /identified as x, the log says 03/],
    ['another record', (all) => ({ dna: { ...dna(all), id: 'dna_2' } }), /the record dna_2/],
    ['a record closed', (all) => ({ dna: dna(all, true) }), /archived, and it is not deleted/],
    [
      'another state in the list',
      (_all, listed) => ({ listed: [listed.replace('"m"', '"n"')] }),
      /it is listed as .*"name":"n".*and is .*"name":"m"/,
    ],
  ])('sees %s', (_, damage, expected) => {
    expect(verdict(damage).faults.join('\n')).toMatch(expected);
  });

  it('waits for the list to show the latest version, and for provisioning to go on', () => {
    const { lines, downstream } = sound(LIFE.slice(0, 4));
    const earlier = sound(LIFE.slice(0, 3)).downstream.listed;
    const { missing, faults } = checkDownstream(id, lines, { ...downstream, listed: earlier });
    expect(missing).toEqual([expect.stringMatching(/provisioning is pending/), expect.stringMatching(/is listed as/)]);
    expect(faults).toEqual([]);
  });

  it('leaves a deleted context where its provisioning stood, and waits for its record to be closed', () => {
    const { lines, arrived, downstream } = sound([...LIFE.slice(0, 4), { type: 'context_deleted', data: {} }]);
    expect(checkDownstream(id, lines, downstream).missing).toEqual([expect.stringMatching(/not archived/)]);
    expect(checkDownstream(id, lines, { ...downstream, dna: dna(arrived, true) })).toEqual({ missing: [], faults: [] });
  });

  it('takes what there is of a context without a log for a fault', () => {
    const { faults } = checkDownstream(id, [], sound(LIFE).downstream);
    expect(faults.join('\n')).toMatch(/Chronicle has event 1 .* the log ends at 0/);
    expect(faults.join('\n')).toMatch(/a ChittyID \(03-1-USA-5537-P-2602-0-38\), and no log/);
    expect(faults.join('\n')).toMatch(/it is listed, and is nobody's/);
  });

  it('expects the service itself in no list', () => {
    const self = sound([{ ...created, data: { ...created.data, owner: 'act_system' } }]);
    expect(checkDownstream(id, self.lines, self.downstream).faults).toEqual([expect.stringMatching(/nobody's/)]);
  });
});

describe('what goes wrong downstream', () => {
  it('comes in an order of its seed, everything once before anything twice', () => {
    const draws = (seed: number) => {
      const deck = new Deck();
      return Array.from({ length: 6 }, (_, round) => deck.draw(seededRandom(seed).fork(`round ${round}`)));
    };
    const first = draws(1);
    expect(first).toEqual(draws(1));
    expect(first).not.toEqual(draws(2));
    expect(new Set(first.slice(0, 3).flat())).toEqual(new Set(first.flat()));
    expect(new Set(first.slice(3).flat())).toEqual(new Set(first.flat()));
  });
});
