import { describe, expect, it } from 'vitest';
import { collaborationOf, contextView } from '../../actors/collaboration.ts';
import { contextDecider } from '../../actors/context.ts';
import { answerOf, proposalView } from '../../actors/context-answers.ts';
import { isRefusal, recorded } from '../../actors/decider.ts';
import { keptBytes } from '../../actors/kept-bytes.ts';
import type { ContextChange, ContextEvent } from '../../events/context.ts';
import { specify } from '../support/given.ts';
import { principalOf } from '../support/principals.ts';

/** Something that happened, and who did it. */
type Step = readonly [actor: string, event: ContextEvent];

const joined = (actor: string, role: 'owner' | 'editor' | 'viewer' = 'editor'): readonly Step[] => [
  [
    'act_ann',
    { type: 'invitation_sent', data: { invitation: actor, actor, role, expiresAt: '2026-01-02T00:00:00.000Z' } },
  ],
  [actor, { type: 'invitation_accepted', data: { invitation: actor, actor, role } }],
];

/** Ann owns the context; Bob, Cem and Dee are editors, Vic only looks on. Version 9. */
const team: readonly Step[] = [
  [
    'act_ann',
    {
      type: 'context_created',
      data: {
        name: 'Planning',
        description: '',
        owner: 'act_ann',
        systems: ['github'],
        tools: [],
        metadata: { priority: 1, tags: { a: 1, b: 2 } },
      },
    },
  ],
  ...joined('act_bob'),
  ...joined('act_cem'),
  ...joined('act_dee'),
  ...joined('act_vic', 'viewer'),
];

const ann = principalOf('act_ann');
const bob = principalOf('act_bob');
const cem = principalOf('act_cem');
const dee = principalOf('act_dee');

const spec = specify(contextDecider, 'context/ctx_1');
const given = (...steps: readonly Step[]) => {
  const all = [...team, ...steps];
  return spec.given(
    all.map(([, event]) => event),
    all.map(([actor]) => actor),
  );
};

const made = (change: ContextChange = { name: 'Better' }, proposal = 'pro_1'): Step => [
  'act_bob',
  { type: 'proposal_made', data: { proposal, change, base: 9 } },
];
const rules = (data: { approvalsRequired?: number; proposalsOnly?: boolean }): Step => [
  'act_ann',
  { type: 'rules_changed', data },
];
const approved = (actor: string, proposal = 'pro_1'): Step => [
  actor,
  { type: 'proposal_approved', data: { proposal } },
];
const updated = (data: ContextChange, actor = 'act_cem'): Step => [actor, { type: 'context_updated', data }];
const applied = (
  approvedBy: string[],
  change: ContextChange = { name: 'Better' },
  proposal = 'pro_1',
): ContextEvent => ({
  type: 'proposal_applied',
  data: { proposal, change, proposedBy: 'act_bob', approvedBy },
});

const propose = (change: ContextChange) => ({ type: 'propose', proposal: 'pro_1', change }) as const;
const approve = { type: 'approve', proposal: 'pro_1' } as const;
const rebase = { type: 'rebase', proposal: 'pro_1' } as const;
const withdraw = { type: 'withdrawProposal', proposal: 'pro_1' } as const;
const reject = { type: 'reject', proposal: 'pro_1' } as const;

describe('a proposal', () => {
  it('records only what would change, and the version that its author saw', () => {
    given()
      .when(propose({ name: 'Planning', description: 'new', metadata: { priority: 1, none: null } }), bob)
      .yields([{ type: 'proposal_made', data: { proposal: 'pro_1', change: { description: 'new' }, base: 9 } }]);
  });

  it('that would change nothing, or too much, is none', () => {
    given()
      .when(propose({ name: 'Planning' }), bob)
      .isRefused('invalid');
    const filling = 'x'.repeat(65_530);
    given()
      .when(propose({ metadata: { filling } }), bob)
      .isRefused('invalid');
  });

  it('is applied as one event with all names on it as soon as one other approves', () => {
    given(made())
      .when(approve, cem)
      .yields([applied(['act_cem'])]);
    const { state } = given(made(), ['act_cem', applied(['act_cem'])]);
    expect(contextView(state)).toMatchObject({ name: 'Better', version: 11, updatedAt: '2026-01-01T00:00:10.000Z' });
    expect(collaborationOf(state).proposals).toEqual([]);
  });

  it('is applied by the last approval that the rule asks for', () => {
    const waiting = given(rules({ approvalsRequired: 3 }), made(), approved('act_cem'));
    waiting.when(approve, dee).yields([approved('act_dee')[1]]);
    given(rules({ approvalsRequired: 3 }), made(), approved('act_cem'), approved('act_dee'))
      .when(approve, ann)
      .yields([applied(['act_cem', 'act_dee', 'act_ann'])]);
  });

  it('counts each actor once, by whichever name they come', () => {
    const waiting = given(rules({ approvalsRequired: 2 }), made(), approved('act_cem'));
    waiting.when(approve, cem).yieldsNothing();
    waiting.when(approve, principalOf('act_cem', { subject: 'act_dee' })).yieldsNothing();
    waiting.when(approve, principalOf('act_agent', { subject: 'act_cem' })).yieldsNothing();
    waiting.when(approve, dee).yields([applied(['act_cem', 'act_dee'])]);
  });

  it('is approved by others than its author, by whichever name they come', () => {
    given(made()).when(approve, bob).isRefused('forbidden');
    given(made())
      .when(approve, principalOf('act_agent', { subject: 'act_bob' }))
      .isRefused('forbidden');
    given(made())
      .when(approve, principalOf('act_bob', { subject: 'act_cem' }))
      .isRefused('forbidden');
  });

  it('is applied by those who have approved already, once the rule asks for no more', () => {
    given(rules({ approvalsRequired: 2 }), made(), approved('act_cem'), rules({ approvalsRequired: 1 }))
      .when(approve, cem)
      .yields([applied(['act_cem'])]);
  });

  it('is applied at once where the rule asks for no approval', () => {
    given(rules({ approvalsRequired: 0 }))
      .when(propose({ name: 'Better' }), bob)
      .yields([
        { type: 'proposal_made', data: { proposal: 'pro_1', change: { name: 'Better' }, base: 10 } },
        applied([]),
      ]);
  });

  it('does not count the approval of somebody who may not approve any more', () => {
    const demoted: Step = ['act_ann', { type: 'member_role_changed', data: { actor: 'act_cem', role: 'viewer' } }];
    const removed: Step = ['act_ann', { type: 'member_removed', data: { actor: 'act_cem' } }];
    for (const loss of [demoted, removed]) {
      given(rules({ approvalsRequired: 2 }), made(), approved('act_cem'), loss)
        .when(approve, dee)
        .yields([approved('act_dee')[1]]);
    }
  });

  it('is final once it is rejected or withdrawn', () => {
    const rejected: ContextEvent = { type: 'proposal_rejected', data: { proposal: 'pro_1' } };
    const withdrawn: ContextEvent = { type: 'proposal_withdrawn', data: { proposal: 'pro_1' } };
    given(made()).when(reject, cem).yields([rejected]);
    given(made()).when(withdraw, bob).yields([withdrawn]);
    given(made()).when(withdraw, ann).isRefused('forbidden');
    for (const end of [rejected, withdrawn]) {
      for (const command of [approve, reject, withdraw, rebase, { ...approve, type: 'comment', text: 'x' } as const]) {
        given(made(), ['act_bob', end]).when(command, bob).isRefused('proposal-closed');
      }
    }
    given().when(approve, ann).isRefused('not-found');
  });

  it('is one of fifty that are open at most', () => {
    const many = Array.from({ length: 50 }, (_, n) => made({ name: 'Better' }, `pro_${n + 2}`));
    given(...many)
      .when(propose({ name: 'Best' }), cem)
      .isRefused('limit-reached');
  });

  it('has at most a hundred comments', () => {
    const said = (n: number): Step => [
      'act_cem',
      { type: 'proposal_commented', data: { proposal: 'pro_1', text: `${n}` } },
    ];
    const comment = { type: 'comment', proposal: 'pro_1', text: 'one more' } as const;
    const many = Array.from({ length: 100 }, (_, n) => said(n));
    given(made(), ...many.slice(1))
      .when(comment, bob)
      .yields([{ type: 'proposal_commented', data: { proposal: 'pro_1', text: 'one more' } }]);
    given(made(), ...many)
      .when(comment, bob)
      .isRefused('limit-reached');
  });
});

describe('a proposal goes stale', () => {
  const change = { name: 'Better', metadata: { priority: 2, tags: { a: 5 } } };

  it.each<[string, ContextChange]>([
    ['the same field', { name: 'Other' }],
    ['the same member of the metadata', { metadata: { priority: 7 } }],
    ['the same member further down', { metadata: { tags: { a: null } } }],
    ['what the member is in', { metadata: { tags: 'none' } }],
    ['all of the metadata', { metadata: null }],
  ])('when somebody changes %s', (_what, other) => {
    given(made(change), updated(other)).when(approve, cem).isRefused('stale-proposal');
  });

  it.each<[string, ContextChange]>([
    ['another field', { description: 'other' }],
    ['another member of the metadata', { metadata: { size: 1 } }],
    ['another member further down', { metadata: { tags: { b: 3 } } }],
  ])('and does not when somebody changes %s', (_what, other) => {
    given(made(change), updated(other))
      .when(approve, cem)
      .yields([applied(['act_cem'], change)]);
  });

  it('when another proposal that is about the same is applied', () => {
    const other = made({ name: 'Best' }, 'pro_2');
    given(other, made(), ['act_cem', applied(['act_cem'], { name: 'Best' }, 'pro_2')])
      .when(approve, cem)
      .isRefused('stale-proposal');
  });

  it.each<[string, ContextEvent]>([
    ['a field', { type: 'context_reverted', data: { to: 1, name: 'Plan' } }],
    [
      'a member of the metadata',
      { type: 'context_reverted', data: { to: 1, metadata: { set: {}, removed: ['tags'] } } },
    ],
  ])('when a revert brings back %s', (_what, reverted) => {
    given(made(change), ['act_cem', reverted]).when(approve, cem).isRefused('stale-proposal');
  });

  it('until its author has looked at it again, when all approve anew', () => {
    const stale = given(rules({ approvalsRequired: 2 }), made(), approved('act_cem'), updated({ name: 'Other' }));
    stale.when(rebase, cem).isRefused('forbidden');
    const rebased: ContextEvent = {
      type: 'proposal_rebased',
      data: { proposal: 'pro_1', change: { name: 'Better' }, base: 13 },
    };
    stale.when(rebase, bob).yields([rebased]);
    const { state } = given(rules({ approvalsRequired: 2 }), made(), approved('act_cem'), updated({ name: 'Other' }), [
      'act_bob',
      rebased,
    ]);
    expect(collaborationOf(state).proposals[0]).toMatchObject({ base: 13, staleSince: null, approvals: [] });
  });

  it('for good when what it would change is like that already', () => {
    given(made(), updated({ name: 'Better' }))
      .when(rebase, bob)
      .isRefused('invalid');
  });
});

describe('the rules of a context', () => {
  it('leave direct changes to owners, when there are to be proposals only', () => {
    const strict = given(rules({ proposalsOnly: true }));
    strict.when({ type: 'update', data: { name: 'x' } }, bob).isRefused('proposals-only');
    strict.when({ type: 'revert', to: { version: 1 }, onConflict: 'refuse' }, bob).isRefused('proposals-only');
    strict
      .when({ type: 'update', data: { name: 'x' } }, ann)
      .yields([{ type: 'context_updated', data: { name: 'x' } }]);
    strict.when({ type: 'revert', to: { version: 1 }, onConflict: 'refuse' }, ann).yieldsNothing();
    given()
      .when({ type: 'update', data: { name: 'x' } }, bob)
      .yields([{ type: 'context_updated', data: { name: 'x' } }]);
  });

  it('are recorded when they change', () => {
    given()
      .when({ type: 'setRules', rules: { approvalsRequired: 1, proposalsOnly: false } }, ann)
      .yieldsNothing();
    given()
      .when({ type: 'setRules', rules: { approvalsRequired: 4, proposalsOnly: false } }, ann)
      .yields([{ type: 'rules_changed', data: { approvalsRequired: 4 } }]);
  });
});

describe('notes', () => {
  const noted = (note: string, actor = 'act_bob', text = 'x'): Step => [
    actor,
    { type: 'note_added', data: { note, text } },
  ];
  const remove = { type: 'removeNote', note: 'note_1' } as const;

  it('are removed by their author or an owner', () => {
    const removed: ContextEvent = { type: 'note_removed', data: { note: 'note_1' } };
    given(noted('note_1')).when(remove, bob).yields([removed]);
    given(noted('note_1')).when(remove, ann).yields([removed]);
    given(noted('note_1')).when(remove, cem).isRefused('forbidden');
    given(noted('note_1'), ['act_bob', removed]).when(remove, bob).isRefused('not-found');
  });

  it('are kept while they are among the newest hundred', () => {
    const many = Array.from({ length: 101 }, (_, n) => noted(`note_${n + 1}`));
    const { notes } = collaborationOf(given(...many).state);
    expect(notes.map(({ id }) => id)).toEqual(many.slice(1).map((_, n) => `note_${n + 2}`));
  });

  it('of somebody who acts for another are that other’s', () => {
    given()
      .when({ type: 'addNote', note: 'note_1', text: 'x' }, principalOf('act_agent', { subject: 'act_bob' }))
      .yields([{ type: 'note_added', data: { note: 'note_1', text: 'x' } }]);
  });
});

describe('what is kept', () => {
  /** A control character is six bytes of JSON. */
  const worst = (characters: number) => '\u0001'.repeat(characters);

  it('stays below 500 KB, whatever is written', () => {
    let state = given(rules({ approvalsRequired: 10 })).state;
    let version = 10;
    const labels = Array.from({ length: 100 }, (_, n) => `${n}${worst(97)}`);
    const record = (event: ContextEvent, actor: string) => {
      version += 1;
      const cause = { actor, correlationId: 'c', causationId: null, commandId: 'c' };
      const place = { id: '', stream: 'context/ctx_1', version, schemaVersion: 1, time: '2026-01-01T00:00:00.000Z' };
      state = contextDecider.evolve(state, recorded<ContextEvent>({ ...event, ...cause, ...place, leafHash: '' }));
    };
    const full = { description: worst(10_000), systems: labels, tools: labels, metadata: { m: worst(10_920) } };
    record({ type: 'context_updated', data: full }, 'act_ann');
    for (let n = 0; n < 100; n++)
      record({ type: 'note_added', data: { note: `note_${n}`, text: worst(2_000) } }, 'act_bob');
    const attempt = (command: Parameters<typeof contextDecider.decide>[0], by: typeof bob) => {
      const decision = contextDecider.decide(command, state, by, 0, {
        at: () => ({ version: 0, state }),
        newestFirst: () => [],
      });
      if (!isRefusal(decision)) for (const event of decision) record(event, by.actor);
    };
    for (let n = 0; n < 60; n++) {
      const proposal = `pro_${n}`;
      attempt({ type: 'propose', proposal, change: { description: `${n}` }, message: worst(2_000) }, bob);
      for (let m = 0; m < 20; m++) attempt({ type: 'comment', proposal, text: worst(2_000) }, cem);
      attempt({ type: 'approve', proposal }, dee);
      if (n % 3 === 0) attempt({ type: 'reject', proposal, reason: worst(500) }, cem);
    }

    expect(keptBytes(state)).toBeLessThan(500_000);
    expect(collaborationOf(state).closed.length).toBeGreaterThan(0);
    expect(collaborationOf(state).notes.length).toBeGreaterThan(0);
  });
});

describe('what is told of a proposal', () => {
  it('is what became of it, with those who approved', () => {
    const before = given(made()).state;
    const after = given(made(), ['act_cem', applied(['act_cem'])]).state;
    expect(after && proposalView('pro_1', before, after)).toMatchObject({
      id: 'pro_1',
      status: 'applied',
      author: { actor: 'act_bob' },
      change: { name: 'Better' },
      approvals: [{ actor: 'act_cem' }],
      closed: { closedBy: { actor: 'act_cem' }, version: 11 },
    });
  });

  it('is that nobody approved, where nobody had to', () => {
    const before = given(rules({ approvalsRequired: 0 }), made()).state;
    const after = given(rules({ approvalsRequired: 0 }), made(), ['act_bob', applied([])]).state;
    const answer = after && answerOf(propose({ name: 'Better' }), before, after);
    expect(answer).toMatchObject({ status: 'applied', approvals: [] });
  });
});
