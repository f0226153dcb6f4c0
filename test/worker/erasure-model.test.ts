import { evictDurableObject } from 'cloudflare:test';
import { hexToBytes } from '@noble/hashes/utils.js';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Context, ContextCommand } from '../../actors/context.ts';
import { isRefusal } from '../../actors/decider.ts';
import { type Envelope, isIntact } from '../../events/envelope.ts';
import { newId } from '../../events/id.ts';
import type { JsonObject } from '../../events/json.ts';
import { applyMergePatch } from '../../events/merge-patch.ts';
import { verifyInclusion } from '../../events/merkle.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { historyText, objectOf } from '../support/rest.ts';
import { printedSeed } from '../support/seed.ts';

/** The people whose words are in the metadata, each under a member of their name. */
const SUBJECTS = ['anna', 'ben'] as const;
type Subject = (typeof SUBJECTS)[number];

/** Every word that is written begins with this. */
const MARK = 'Geheimnis';

const subject = fc.constantFrom(...SUBJECTS);
const word = fc.nat({ max: 9 }).map((n) => `${MARK} ${n}`);
/** Objects as JSON has them. */
const plain = { noNullPrototype: true };

const value = fc.oneof(
  word,
  fc.record({ name: word }, plain),
  fc.record({ name: word, phone: fc.nat() }, plain),
  fc.constant(null),
);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), who: subject, value }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('other' as const), value: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('erase' as const), who: subject }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hold' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lift' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('retain' as const), days: fc.integer({ min: 1, max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('evict' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

interface Model {
  metadata: JsonObject;
  /** Those for whom there has been a key. */
  readonly known: Set<Subject>;
  readonly erased: Set<Subject>;
  isHeld: boolean;
}

/** The command that a step is, and what becomes of it: a refusal's code, or what changes in the model. */
function expected(step: Exclude<Step, { kind: 'evict' }>, model: Model): [ContextCommand, string | (() => void)] {
  switch (step.kind) {
    case 'write': {
      const patch = { [step.who]: step.value };
      const after = applyMergePatch(model.metadata, patch);
      const isChanged = JSON.stringify(after) !== JSON.stringify(model.metadata);
      const isRefused = isChanged && step.value !== null && model.erased.has(step.who);
      const apply = () => {
        model.metadata = after;
        if (isChanged && step.value !== null) model.known.add(step.who);
      };
      return [{ type: 'update', data: { metadata: patch } }, isRefused ? 'subject-erased' : apply];
    }
    case 'other': {
      const patch = { other: step.value };
      const apply = () => {
        model.metadata = applyMergePatch(model.metadata, patch);
      };
      return [{ type: 'update', data: { metadata: patch } }, apply];
    }
    case 'erase': {
      const { who } = step;
      const command: ContextCommand = { type: 'eraseSubject', subject: who, reason: 'requested' };
      if (model.erased.has(who)) return [command, 'already-erased'];
      if (!model.known.has(who)) return [command, 'not-found'];
      if (model.isHeld) return [command, 'legal-hold'];
      const apply = () => {
        model.erased.add(who);
        if (model.metadata[who] !== undefined) model.metadata = { ...model.metadata, [who]: '[erased]' };
      };
      return [command, apply];
    }
    case 'hold':
      return [
        { type: 'placeHold', reason: 'a case' },
        () => {
          model.isHeld = true;
        },
      ];
    case 'lift': {
      const apply = () => {
        model.isHeld = false;
      };
      return [{ type: 'liftHold' }, model.isHeld ? apply : 'not-found'];
    }
    case 'retain':
      return [{ type: 'setRetention', retention: { days: step.days, after: 'change' } }, () => undefined];
    default:
      return step satisfies never;
  }
}

it('whatever is written, erased, held and forgotten in whatever order: the state is the model’s, the events keep their proof and have no word', async () => {
  const seed = printedSeed('erasure model');
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      const id = newId('ctx', Date.now());
      const object = objectOf(id);
      let commands = 0;
      const execute = (command: ContextCommand) => {
        commands += 1;
        const cause = { correlationId: 'a trace', causationId: null, commandId: `command ${commands}` };
        return object.execute({ id, command, principal: ADMINISTRATOR, cause });
      };
      const privacy = SUBJECTS.map((who) => ({ pointer: `/metadata/${who}`, subject: who }));
      const data = {
        name: 'x',
        description: '',
        owner: ADMINISTRATOR.actor,
        systems: [],
        tools: [],
        metadata: {},
        privacy,
      };
      await execute({ type: 'create', data });
      const model: Model = { metadata: {}, known: new Set(), erased: new Set(), isHeld: false };
      let before = await historyText(id);
      for (const each of steps) {
        if (each.kind === 'evict') {
          // Only one that runs can be put to sleep.
          await object.treeHead(ADMINISTRATOR);
          await evictDurableObject(object);
          continue;
        }
        const [command, outcome] = expected(each, model);
        const reply = await execute(command);
        const refused = isRefusal(reply) ? reply.refused : null;
        expect([each, refused]).toEqual([each, typeof outcome === 'string' ? outcome : null]);
        if (typeof outcome !== 'string') outcome();
        const view = await object.view(ADMINISTRATOR);
        if (isRefusal(view)) throw new Error(view.detail);
        const context: Context = JSON.parse(view.body);
        expect(context.metadata).toEqual(model.metadata);
        // Nothing that was recorded ever changes.
        const after = await historyText(id);
        expect(after.startsWith(before)).toBe(true);
        before = after;
      }
      expect(before).not.toContain(MARK);
      const envelopes = before
        .trimEnd()
        .split('\n')
        .map((line): Envelope => JSON.parse(line));
      expect(envelopes.every(isIntact)).toBe(true);
      for (const { version, leafHash } of envelopes) {
        const proof = await object.prove(ADMINISTRATOR, { version });
        if (isRefusal(proof)) throw new Error(proof.detail);
        const inclusion = {
          index: version - 1,
          size: proof.size,
          leafHash: hexToBytes(leafHash),
          root: hexToBytes(proof.root),
          proof: proof.proof.map((hash) => hexToBytes(hash)),
        };
        expect(verifyInclusion(inclusion)).toBe(true);
      }
    }),
    { seed, numRuns: 25 },
  );
}, 300_000);
