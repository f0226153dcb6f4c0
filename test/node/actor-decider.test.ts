import { describe, expect, it } from 'vitest';
import { type ActorCommand, type ActorState, actorDecider } from '../../actors/actor.ts';
import { accessViewOf, endedBy } from '../../actors/actor-access.ts';
import { isRefusal, type RefusalCode } from '../../actors/decider.ts';
import type { EndedAccess } from '../../actors/ended-access.ts';
import type { Principal } from '../../actors/principal.ts';
import type { ActorEvent } from '../../events/actor.ts';
import { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
import { NO_PAST, specify } from '../support/given.ts';
import { ADMINISTRATOR, principalOf } from '../support/principals.ts';

const ADA = 'act_ada';
const AT = '2026-01-01T12:00:00.000Z';
const LATER = '2026-01-01T13:00:00.000Z';
const hash = (digit: string) => digit.repeat(64);

const ada = specify(actorDecider, `actor/${ADA}`);
const registered: ActorEvent = {
  type: 'actor_registered',
  data: { kind: 'person', name: 'Ada', description: '', capabilities: [] },
};
const updated = (name: string): ActorEvent => ({ type: 'actor_updated', data: { name } });

function issued(key: string, more: object = {}): ActorEvent {
  const data = { key, name: key, hash: hash('1'), scopes: ['contexts:read'], contexts: null, expiresAt: null };
  return { type: 'key_issued', data: { ...data, ...more } };
}

function issue(key: string, wanted = {}) {
  return { type: 'issueKey', key, name: key, hash: hash('1'), wanted, at: AT } as const;
}

function rotate(key: string, endsAt = LATER) {
  return { type: 'rotateKey', key, successor: `${key}+`, hash: hash('2'), endsAt, at: AT } as const;
}

function started(session: string, startedWith: string, more: object = {}): ActorEvent {
  return {
    type: 'session_started',
    data: {
      session,
      startedWith,
      scopes: ['contexts:read'],
      contexts: null,
      device: null,
      familyHash: hash('f'),
      refreshHash: hash('a'),
      csrfHash: null,
      refreshUntil: '2026-01-31T00:00:00.000Z',
      expiresAt: '2026-04-01T00:00:00.000Z',
      ...more,
    },
  };
}

function start(session: string): ActorCommand {
  return {
    type: 'startSession',
    session,
    startedWith: 'key_1',
    wanted: {},
    device: null,
    familyHash: hash('f'),
    refreshHash: hash('a'),
    csrfHash: null,
    at: AT,
  };
}

function refresh(more: object = {}): ActorCommand {
  const command = { type: 'refreshSession', session: 'ses_1', familyHash: hash('f') } as const;
  return { ...command, refreshHash: hash('a'), nextRefreshHash: hash('b'), at: AT, ...more };
}

const ended = (session: string, reason: 'ended' | 'key_ended' | 'refresh_token_reused' | 'too_many_sessions') =>
  ({ type: 'session_ended', data: { session, reason } }) satisfies ActorEvent;

const revoked = (key: string) => ({ type: 'key_revoked', data: { key } }) satisfies ActorEvent;

const rotated = (key: string, successor: string, endsAt = LATER) =>
  ({ type: 'key_rotated', data: { key, successor, hash: hash('2'), endsAt } }) satisfies ActorEvent;

const withKey = (more: Partial<Principal> = {}) =>
  principalOf(ADA, { credential: { kind: 'api-key', id: 'key_1' }, ...more });

const withSession = (more: Partial<Principal> = {}) =>
  principalOf(ADA, { credential: { kind: 'session', id: 'ses_1' }, ...more });

describe('an actor', () => {
  it('is registered once', () => {
    const data = registered.type === 'actor_registered' ? registered.data : undefined;
    if (!data) throw new Error('it is a registration');
    ada.given([]).when({ type: 'register', data }).yields([registered]);
    ada.given([registered]).when({ type: 'register', data }).isRefused('already-exists');
  });

  it('changes only what is different', () => {
    ada
      .given([registered])
      .when({ type: 'update', data: { name: 'Ada', description: '' } })
      .yieldsNothing();
    ada
      .given([registered])
      .when({ type: 'update', data: { name: 'A.', description: '' } })
      .yields([updated('A.')]);
  });

  it('is suspended and reinstated, each when the other was before', () => {
    const suspended: ActorEvent = { type: 'actor_suspended', data: { reason: 'left' } };
    ada.given([registered]).when({ type: 'suspend', reason: 'left' }).yields([suspended]);
    ada.given([registered, suspended]).when({ type: 'suspend', reason: '' }).isRefused('suspended');
    ada.given([registered]).when({ type: 'reinstate' }).isRefused('conflict');
    ada
      .given([registered, suspended])
      .when({ type: 'reinstate' })
      .yields([{ type: 'actor_reinstated', data: {} }]);
  });

  it('is deleted for good, and keeps no credential', () => {
    const events: ActorEvent[] = [registered, issued('key_1'), started('ses_1', 'key_1')];
    const { state, when } = ada.given([...events, { type: 'actor_deleted', data: {} }]);
    expect(state).toMatchObject({ status: 'deleted', keys: [], sessions: [], capabilities: [] });
    for (const command of [issue('key_2'), { type: 'reinstate' }, { type: 'delete' }] as const) {
      when(command).isRefused('deleted');
    }
  });

  it('records once what was under way when it was deleted: an id that was minted is not lost', () => {
    const identified: ActorEvent = {
      type: 'actor_identified',
      data: { chittyId: '03-1-USA-5537-P-2602-0-38', did: 'did:chitty:03-1-USA-5537-P-2602-0-38' },
    };
    const deleted: ActorEvent[] = [registered, { type: 'actor_deleted', data: {} }];
    const report = { type: 'recordProvisioning', event: identified } as const;
    ada.given(deleted).when(report).yields([identified]);
    const { state, when } = ada.given([...deleted, identified]);
    expect(state).toMatchObject({ status: 'deleted', chittyId: identified.data.chittyId });
    when(report).yieldsNothing();
  });

  it('a capability is granted and revoked once', () => {
    const granted: ActorEvent = { type: 'capability_granted', data: { capability: 'auditor' } };
    ada.given([registered]).when({ type: 'grantCapability', capability: 'auditor' }).yields([granted]);
    ada.given([registered, granted]).when({ type: 'grantCapability', capability: 'auditor' }).yieldsNothing();
    ada.given([registered]).when({ type: 'revokeCapability', capability: 'auditor' }).yieldsNothing();
    expect(ada.given([registered, granted]).state?.capabilities).toEqual(['auditor']);
  });

  it('a capability that there is no more is read as none', () => {
    const odd: ActorEvent = { type: 'capability_granted', data: { capability: 'wizard' } };
    expect(ada.given([registered, odd]).state?.capabilities).toEqual([]);
  });

  it('the first administrator stays', () => {
    const first = specify(actorDecider, `actor/${BOOTSTRAP_ACTOR}`).given([
      {
        type: 'actor_registered',
        data: { kind: 'person', name: 'x', description: '', capabilities: ['administrator'] },
      },
    ]);
    first.when({ type: 'suspend', reason: '' }).isRefused('conflict');
    first.when({ type: 'delete' }).isRefused('conflict');
    first.when({ type: 'revokeCapability', capability: 'administrator' }).isRefused('conflict');
    first.when({ type: 'update', data: { name: 'Ada' } }).yields([updated('Ada')]);
  });
});

describe('keys', () => {
  it('there are 50 at most, not counting those that have ended', () => {
    const many = Array.from({ length: 50 }, (_, index) => issued(`key_${index}`));
    ada
      .given([registered, ...many])
      .when(issue('key_x'))
      .isRefused('limit-reached');
    ada
      .given([registered, ...many])
      .when(rotate('key_1'))
      .isRefused('limit-reached');
    const rotatedAtOnce = ada.given([registered, ...many]).when(rotate('key_1', AT));
    rotatedAtOnce.yields([
      { type: 'key_rotated', data: { key: 'key_1', successor: 'key_1+', hash: hash('2'), endsAt: AT } },
    ]);
    const past = many.map((_, index) => issued(`key_${index}`, { expiresAt: AT }));
    ada
      .given([registered, ...past])
      .when(issue('key_x'))
      .yields([issued('key_x', { scopes: expect.anything() })]);
  });

  it('one that has ended is neither rotated nor, once forgotten, revoked', () => {
    const past = issued('key_1', { expiresAt: AT });
    ada.given([registered, past]).when(rotate('key_1')).isRefused('not-found');
    const forgotten = issued('key_2', { expiresAt: '2026-01-01T00:00:01.500Z' });
    ada
      .given([registered, forgotten, issued('key_3')])
      .when({ type: 'revokeKey', key: 'key_2' })
      .isRefused('not-found');
  });

  it('a rotated one keeps its own end when that is earlier', () => {
    const soon = '2026-01-01T12:30:00.000Z';
    const { state } = ada.given([registered, issued('key_1', { expiresAt: soon }), rotated('key_1', 'key_2')]);
    expect(state?.keys.map(({ id, expiresAt }) => [id, expiresAt])).toEqual([
      ['key_1', soon],
      ['key_2', soon],
    ]);
  });

  it('revoking ends the sessions that were started with it, and no others', () => {
    const events = [registered, issued('key_1'), issued('key_2'), started('ses_1', 'key_1'), started('ses_2', 'key_2')];
    ada
      .given(events)
      .when({ type: 'revokeKey', key: 'key_1' })
      .yields([revoked('key_1'), ended('ses_1', 'key_ended')]);
  });

  it('revoking ends what has taken its place only when that is asked for, also across what has ended', () => {
    const events = [registered, issued('a'), rotated('a', 'b'), rotated('b', 'c'), issued('x'), started('ses_1', 'c')];
    ada
      .given(events)
      .when({ type: 'revokeKey', key: 'a' })
      .yields([revoked('a')]);
    ada
      .given(events)
      .when({ type: 'revokeKey', key: 'a', withSuccessors: true })
      .yields([revoked('a'), revoked('b'), revoked('c'), ended('ses_1', 'key_ended')]);
    ada
      .given([...events, revoked('a'), revoked('b')])
      .when({ type: 'revokeKey', key: 'a', withSuccessors: true })
      .yields([revoked('c'), ended('ses_1', 'key_ended')]);
    ada
      .given([...events, revoked('c')])
      .when({ type: 'revokeKey', key: 'c', withSuccessors: true })
      .isRefused('not-found');
  });

  it.each([
    ['scopes', { scopes: ['delegate'] }, { scopes: ['actors:write'] }],
    ['contexts', { contexts: ['ctx_2'] }, { contexts: ['ctx_1'] }],
    ['an end', { expiresAt: LATER }, { expiresAt: Date.parse(AT) }],
  ] as const)('are never good for more than what makes them: %s', (_, wanted, by) => {
    const makes = ada.given([registered, issued('key_1')]);
    makes.when(issue('key_2', wanted), withKey(by)).isRefused('forbidden');
    const decision = actorDecider.decide(issue('key_2'), makes.state, withKey(by), Date.parse(AT), NO_PAST);
    expect(isRefusal(decision)).toBe(false);
  });

  it('a session makes none that outlives the key that it was started with', () => {
    const events = [registered, issued('key_1', { expiresAt: LATER }), started('ses_1', 'key_1')];
    const by = withSession({ expiresAt: Date.parse(AT) });
    ada
      .given(events)
      .when(issue('key_2'), by)
      .yields([issued('key_2', { scopes: expect.anything(), expiresAt: LATER })]);
  });

  it('the session of another makes none that outlives what is known of it, and renews none that does', () => {
    const by = principalOf('act_boss', { credential: { kind: 'session', id: 'ses_9' }, expiresAt: Date.parse(AT) });
    const { when } = ada.given([registered, issued('key_1'), started('ses_1', 'key_1')]);
    const ending = (expiresAt: string) => [issued('key_2', { scopes: expect.anything(), expiresAt })];
    when({ ...issue('key_2'), until: LATER }, by).yields(ending(LATER));
    when(issue('key_2'), by).yields(ending(AT));
    when({ ...issue('key_2', { expiresAt: '2026-01-01T13:00:00.001Z' }), until: LATER }, by).isRefused('forbidden');
    when({ ...rotate('key_1'), until: LATER }, by).isRefused('forbidden');
    when({ ...rotate('key_1'), until: null }, by).yields([rotated('key_1', 'key_1+')]);
  });

  it.each([
    ['a key that was revoked', [revoked('key_1')], withKey(), 'forbidden'],
    ['a key that was rotated away', [rotated('key_1', 'key_9', AT)], withKey(), 'forbidden'],
    ['a session that has ended', [ended('ses_1', 'ended')], withSession(), 'forbidden'],
    ['a session whose key was revoked', [revoked('key_1')], withSession(), 'forbidden'],
    ['somebody suspended', [{ type: 'actor_suspended', data: { reason: '' } }], withKey(), 'suspended'],
  ] satisfies [string, ActorEvent[], Principal, RefusalCode][])('are not made by %s', (_, ending, by, code) => {
    const before = [registered, issued('key_1'), started('ses_1', 'key_1'), issued('key_2')];
    const [living, over] = [ada.given(before), ada.given([...before, ...ending])];
    for (const command of [issue('key_3'), rotate('key_2')]) {
      const decide = (state: ActorState, who: Principal) =>
        actorDecider.decide(command, state, who, Date.parse(AT), NO_PAST);
      expect(isRefusal(decide(living.state, by))).toBe(false);
      over.when(command, by).isRefused(code);
      expect(isRefusal(decide(over.state, ADMINISTRATOR))).toBe(false);
    }
  });
});

describe('sessions', () => {
  const one = [registered, issued('key_1'), started('ses_1', 'key_1')];

  it('the hundred-and-first ends the oldest', () => {
    const many = Array.from({ length: 100 }, (_, index) => started(`ses_${index}`, 'key_1'));
    const { state } = ada.given([registered, issued('key_1'), ...many]);
    const decision = actorDecider.decide(start('ses_x'), state, withKey(), Date.parse(AT), NO_PAST);
    expect(decision).toMatchObject([ended('ses_0', 'too_many_sessions'), { type: 'session_started' }]);
  });

  it('is started with a key only, and for oneself', () => {
    const given = ada.given([registered, issued('key_1')]);
    given.when(start('ses_1'), withKey({ credential: { kind: 'session', id: 'ses_0' } })).isRefused('forbidden');
    given.when(start('ses_1'), withKey({ chain: [{ id: 'dlg_1', by: 'act_x' }] })).isRefused('forbidden');
    given.when(start('ses_1'), principalOf('act_other')).isRefused('forbidden');
  });

  it('goes on with its token, ends with one that was used, ignores one that was made up', () => {
    const given = ada.given(one);
    const decision = actorDecider.decide(refresh(), given.state, withKey(), Date.parse(AT), NO_PAST);
    expect(decision).toMatchObject([{ type: 'session_refreshed', data: { refreshHash: hash('b') } }]);
    given.when(refresh({ refreshHash: hash('0') })).yields([ended('ses_1', 'refresh_token_reused')]);
    given.when(refresh({ familyHash: hash('0'), refreshHash: hash('0') })).isRefused('not-found');
  });

  it.each([
    ['was left alone too long', { refreshUntil: AT }],
    ['is too old', { expiresAt: AT }],
    ['has lost its key', { startedWith: 'key_gone' }],
  ])('one that %s does not go on', (_, more) => {
    ada
      .given([registered, issued('key_1'), started('ses_1', 'key_1', more)])
      .when(refresh())
      .isRefused('not-found');
  });

  it('does not go on while the actor is suspended', () => {
    ada
      .given([...one, { type: 'actor_suspended', data: { reason: '' } }])
      .when(refresh())
      .isRefused('suspended');
  });

  it('all end at once', () => {
    ada
      .given([...one, started('ses_2', 'key_1')])
      .when({ type: 'endAllSessions' })
      .yields([ended('ses_1', 'ended'), ended('ses_2', 'ended')]);
  });
});

describe('what others are told', () => {
  it('the edge gets hashes and rights, and nothing of who does not exist', () => {
    const { state } = ada.given([registered, issued('key_1'), started('ses_1', 'key_1')]);
    const view = accessViewOf(ADA, state);
    expect(view.keys).toEqual([
      { id: 'key_1', hash: hash('1'), scopes: ['contexts:read'], contexts: null, expiresAt: null },
    ]);
    expect(JSON.stringify(view.sessions)).not.toContain(hash('a'));
    expect(accessViewOf(ADA, null)).toMatchObject({ status: null, keys: [], sessions: [] });
  });

  const told: [ActorEvent, EndedAccess | null][] = [
    [{ type: 'actor_suspended', data: { reason: '' } }, { actors: [ADA] }],
    [{ type: 'actor_deleted', data: {} }, { actors: [ADA] }],
    [{ type: 'capability_revoked', data: { capability: 'auditor' } }, { actors: [ADA] }],
    [{ type: 'key_revoked', data: { key: 'key_1' } }, { credentials: ['key_1'] }],
    [ended('ses_1', 'ended'), { credentials: ['ses_1'] }],
    [registered, null],
    [issued('key_1'), null],
  ];

  it.each(told)('contexts are told what %j ends', (event, expected) => {
    expect(endedBy(ADA, event)).toEqual(expected);
  });
});
