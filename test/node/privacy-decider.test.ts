import { describe, expect, it } from 'vitest';
import { actorDecider } from '../../actors/actor.ts';
import { contextView } from '../../actors/collaboration.ts';
import { contextDecider } from '../../actors/context.ts';
import { retentionChore } from '../../actors/privacy.ts';
import type { ActorEvent } from '../../events/actor.ts';
import type { ContextEvent } from '../../events/context.ts';
import { specify } from '../support/given.ts';

const DAY_MS = 86_400_000;
/** The time of the first event of every specification; each follows a second after the one before. */
const START = Date.UTC(2026, 0, 1);

const created: ContextEvent = {
  type: 'context_created',
  data: { name: 'Orders', description: '', owner: 'act_ann', systems: [], tools: [], metadata: {} },
};
const erased = (subject: string, reason: 'requested' | 'everywhere' | 'retention' = 'requested'): ContextEvent => ({
  type: 'subject_erased',
  data: { subject, reason },
});
const held: ContextEvent = { type: 'legal_hold_placed', data: { reason: 'a case' } };
const lifted: ContextEvent = { type: 'legal_hold_lifted', data: {} };
const deleted: ContextEvent = { type: 'context_deleted', data: {} };
const retention = (days: number, after: 'change' | 'deletion'): ContextEvent => ({
  type: 'retention_set',
  data: { days, after },
});
const erase = (standing: 'kept' | 'gone' | 'none', subject = 'customer-42') =>
  ({ type: 'eraseSubject', subject, reason: 'requested', standing }) as const;

const context = specify(contextDecider, 'context/ctx_1');

describe('an erasure', () => {
  it('is of somebody whose words are there, once', () => {
    context
      .given([created])
      .when(erase('kept'))
      .yields([erased('customer-42')]);
    context.given([created]).when(erase('none')).isRefused('not-found');
    context.given([created]).when(erase('gone')).isRefused('already-erased');
    context
      .given([created, erased('customer-42')])
      .when(erase('kept'))
      .isRefused('already-erased');
  });

  it('takes words in a deleted context as well', () => {
    context.given([created]);
    context
      .given([created, deleted])
      .when(erase('kept'))
      .yields([erased('customer-42')]);
  });

  it('comes after a retention has taken what there was before', () => {
    context
      .given([created, erased('customer-42', 'retention')])
      .when(erase('kept'))
      .yields([erased('customer-42')]);
  });

  it('waits for a legal hold, and says so', () => {
    context.given([created, held]).when(erase('kept')).isRefused('legal-hold');
    context
      .given([created, held, lifted])
      .when(erase('kept'))
      .yields([erased('customer-42')]);
    context.given([created]).when({ type: 'liftHold' }).isRefused('not-found');
    context.given([created, held]).when({ type: 'placeHold', reason: 'a case' }).yieldsNothing();
  });

  it('is nothing that readers are given with the context', () => {
    const { state } = context.given([created, held, erased('customer-42')]);
    expect(contextView(state)).not.toHaveProperty('safekeeping');
  });
});

describe('a retention', () => {
  const apply = { type: 'applyRetention', subjects: ['a', 'b'] } as const;
  const both = [erased('a', 'retention'), erased('b', 'retention')];

  it('counts from the last that anybody did', () => {
    const given = context.given([created, retention(2, 'change'), held, lifted]);
    expect(retentionChore(given.state, ['a'])?.at).toBe(START + 3_000 + 2 * DAY_MS);
    given.when(apply, undefined, START + 3_000 + 2 * DAY_MS - 1).yieldsNothing();
    given.when(apply, undefined, START + 3_000 + 2 * DAY_MS).yields(both);
  });

  it('counts from the deletion when it is about that', () => {
    expect(retentionChore(context.given([created, retention(2, 'deletion')]).state, ['a'])).toBeNull();
    const given = context.given([created, retention(2, 'deletion'), deleted]);
    expect(retentionChore(given.state, ['a'])?.at).toBe(START + 2_000 + 2 * DAY_MS);
    given.when(apply, undefined, START + 3 * DAY_MS).yields(both);
  });

  it('does nothing under a legal hold, when it has ended, and where nobody’s words are', () => {
    expect(retentionChore(context.given([created, retention(2, 'change'), held]).state, ['a'])).toBeNull();
    context
      .given([created, retention(2, 'change'), held])
      .when(apply, undefined, START + 9 * DAY_MS)
      .yieldsNothing();
    const ended = context.given([created, retention(2, 'change'), { type: 'retention_ended', data: {} }]);
    expect(retentionChore(ended.state, ['a'])).toBeNull();
    ended.when({ type: 'endRetention' }).isRefused('not-found');
    expect(retentionChore(context.given([created, retention(2, 'change')]).state, [])).toBeNull();
  });
});

describe('an actor', () => {
  const registered: ActorEvent = {
    type: 'actor_registered',
    data: { kind: 'person', name: 'Hedwig', description: '', capabilities: [] },
  };
  const gone: ActorEvent = { type: 'actor_deleted', data: {} };
  const everywhere: ActorEvent = { type: 'subject_erased', data: { subject: 'act_1', reason: 'everywhere' } };
  const actor = specify(actorDecider, 'actor/act_1');

  it('is deleted when it is erased, and erased when it was deleted, once', () => {
    actor.given([registered]).when({ type: 'erase' }).yields([gone, everywhere]);
    actor.given([registered, gone]).when({ type: 'erase' }).yields([everywhere]);
    actor.given([registered, gone, everywhere]).when({ type: 'erase' }).isRefused('already-erased');
    actor.given([]).when({ type: 'erase' }).isRefused('not-found');
  });
});
