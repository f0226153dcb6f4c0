import { describe, expect, it } from 'vitest';
import { actorDecider } from '../../actors/actor.ts';
import { accessViewOf, endedBy } from '../../actors/actor-access.ts';
import type { DelegationCommand } from '../../actors/actor-delegations.ts';
import { keptBytes } from '../../actors/kept-bytes.ts';
import { type Principal, SCOPES, type Scope } from '../../actors/principal.ts';
import type { ActorEvent } from '../../events/actor.ts';
import { delegationId, delegatorOf } from '../../events/delegation.ts';
import { derivedId } from '../../events/id.ts';
import { specify } from '../support/given.ts';
import { principalOf } from '../support/principals.ts';

const ADA = derivedId('act', 'ada');
const BEN = derivedId('act', 'ben');
const CEM = derivedId('act', 'cem');
const AT = '2026-01-01T12:00:00.000Z';
const HOUR = '2026-01-01T13:00:00.000Z';
const DAY = '2026-01-02T12:00:00.000Z';
const ONE = delegationId(ADA, 0, 'one');
const TWO = delegationId(ADA, 0, 'two');
const ABOVE = delegationId(CEM, 0, 'above');

const ada = specify(actorDecider, `actor/${ADA}`);
const self = principalOf(ADA, { credential: { kind: 'api-key', id: 'key_1' } });
const registered: ActorEvent = {
  type: 'actor_registered',
  data: { kind: 'person', name: 'Ada', description: '', capabilities: [] },
};

function issued(key: string): ActorEvent {
  const data = { key, name: key, hash: '1'.repeat(64), scopes: [...SCOPES], contexts: null, expiresAt: null };
  return { type: 'key_issued', data };
}

function granted(delegation: string, more: object = {}): ActorEvent {
  const data = {
    delegation,
    to: BEN,
    subject: ADA,
    chain: [],
    madeWith: 'key_1',
    scopes: ['contexts:read'],
    contexts: null,
    notBefore: AT,
    expiresAt: HOUR,
    maxUses: null,
  };
  return { type: 'delegation_granted', data: { ...data, ...more } };
}

const revoked = (delegation: string, reason: 'revoked' | 'key_ended' | 'session_ended' = 'revoked'): ActorEvent => ({
  type: 'delegation_revoked',
  data: { delegation, reason },
});

interface Asked {
  readonly to?: string;
  readonly scopes?: readonly Scope[];
  readonly contexts?: readonly string[];
  readonly expiresAt?: string;
  readonly notBefore?: string;
  readonly maxUses?: number;
}

function delegate(asked: Asked = {}, delegation = ONE): DelegationCommand {
  const { to = BEN, scopes = ['contexts:read'], contexts, expiresAt, ...more } = asked;
  const wanted = { scopes, ...(contexts && { contexts }), ...(expiresAt !== undefined && { expiresAt }) };
  return { type: 'delegate', delegation, to, madeWith: 'key_1', wanted, ...more, at: AT };
}

const start = [registered, issued('key_1')];

/** Ada, to whom Cem handed some rights. */
const acting: Principal = principalOf(ADA, {
  subject: CEM,
  scopes: ['contexts:read', 'delegate'],
  contexts: ['ctx_1', 'ctx_2'],
  credential: { kind: 'delegation', id: ABOVE },
  chain: [{ id: ABOVE, by: CEM }],
  expiresAt: Date.parse(HOUR),
});

describe('to hand on', () => {
  it('gives what was asked, for an hour', () => {
    ada
      .given(start)
      .when(delegate(), self)
      .yields([granted(ONE)]);
  });

  it('gives contexts, times and a number of uses', () => {
    const asked = { contexts: ['ctx_1'], notBefore: HOUR, expiresAt: DAY, maxUses: 3 };
    const more = { contexts: ['ctx_1'], notBefore: HOUR, expiresAt: DAY, maxUses: 3 };
    ada
      .given(start)
      .when(delegate(asked), self)
      .yields([granted(ONE, more)]);
  });

  it('begins now when it was to begin before', () => {
    ada
      .given(start)
      .when(delegate({ notBefore: '2025-01-01T00:00:00.000Z' }), self)
      .yields([granted(ONE)]);
  });

  it('what one was handed keeps the subject and the chain, and ends with it', () => {
    const more = {
      subject: CEM,
      chain: [{ id: ABOVE, by: CEM }],
      madeWith: 'key_1',
      contexts: ['ctx_1', 'ctx_2'],
      expiresAt: HOUR,
    };
    ada
      .given(start)
      .when(delegate(), acting)
      .yields([granted(ONE, more)]);
    ada
      .given(start)
      .when(delegate({ contexts: ['ctx_1'] }), acting)
      .yields([granted(ONE, { ...more, contexts: ['ctx_1'] })]);
  });

  it.each<[string, Asked, Principal, 'invalid' | 'forbidden' | 'limit-reached']>([
    ['to oneself', { to: ADA }, self, 'invalid'],
    ['to the one whose rights these are', { to: CEM }, acting, 'invalid'],
    ['admin', { scopes: ['admin'] }, principalOf(ADA, { capabilities: ['administrator'] }), 'invalid'],
    ['a scope that one has not', { scopes: ['contexts:write'] }, acting, 'forbidden'],
    ['a context that one has not', { contexts: ['ctx_3'] }, acting, 'forbidden'],
    ['for longer than one has it', { expiresAt: '2026-01-01T13:00:00.001Z' }, acting, 'forbidden'],
    ['for more than a day', { expiresAt: '2026-01-02T12:00:00.001Z' }, self, 'invalid'],
    ['for no time', { expiresAt: AT }, self, 'invalid'],
    ['for a time that is over', { expiresAt: '2026-01-01T11:00:00.000Z' }, self, 'invalid'],
    ['from after its end', { notBefore: DAY, expiresAt: HOUR }, self, 'invalid'],
    ['the rights of another actor', {}, principalOf(BEN), 'forbidden'],
  ])('is refused: %s', (_name, asked, by, refused) => {
    ada.given(start).when(delegate(asked), by).isRefused(refused);
  });

  it('is refused past five in a row', () => {
    const links = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ id: `dlg_${index}`, by: index === 0 ? CEM : `act_${index}` }));
    const by = (count: number): Principal => ({ ...acting, chain: links(count) });
    const handed = { subject: CEM, chain: links(4), contexts: ['ctx_1', 'ctx_2'] };
    ada
      .given(start)
      .when(delegate(), by(4))
      .yields([granted(ONE, handed)]);
    ada.given(start).when(delegate(), by(5)).isRefused('limit-reached');
  });

  it('is refused before the state of its actor grows out of a row of 2 MB, whatever is in it', () => {
    const worst = '\u0001'.repeat(100);
    const contexts = Array.from({ length: 100 }, (_, n) => derivedId('ctx', `worst ${n}`));
    const key = (n: number): ActorEvent => {
      const data = {
        key: `key_${n}`,
        name: worst,
        hash: '1'.repeat(64),
        scopes: [...SCOPES],
        contexts,
        expiresAt: null,
      };
      return { type: 'key_issued', data };
    };
    const session = (n: number): ActorEvent => ({
      type: 'session_started',
      data: {
        session: derivedId('ses', `${n}`),
        startedWith: 'key_1',
        scopes: [...SCOPES],
        contexts,
        device: worst,
        familyHash: '1'.repeat(64),
        refreshHash: '1'.repeat(64),
        csrfHash: '1'.repeat(64),
        refreshUntil: DAY,
        expiresAt: DAY,
      },
    });
    const data = { kind: 'person' as const, name: worst, description: worst.repeat(100), capabilities: [] };
    const kept: ActorEvent[] = [
      { type: 'actor_registered', data },
      ...Array.from({ length: 50 }, (_, n) => key(n)),
      ...Array.from({ length: 100 }, (_, n) => session(n)),
    ];
    const chain = Array.from({ length: 4 }, (_, n) => ({ id: delegationId(CEM, 0, `${n}`), by: CEM }));
    const of = (count: number) =>
      Array.from({ length: count }, (_, n) => granted(delegationId(ADA, 0, `${n}`), { contexts, chain }));
    const most = ada.given([...kept, ...of(250)]);
    most.when(delegate({ contexts: contexts.slice(0, 50) }), self).isRefused('limit-reached');
    // Nearly as many are fine.
    ada
      .given([...kept, ...of(200)])
      .when(delegate({ contexts: contexts.slice(0, 50) }), self)
      .yields(expect.anything());
    expect(keptBytes(most.state)).toBeLessThan(2_000_000);
  });

  it('is refused past a thousand that are good, and those that have expired do not count', () => {
    const many = (expiresAt: string) =>
      Array.from({ length: 1_000 }, (_, index) => granted(delegationId(ADA, 0, `${index}`), { expiresAt }));
    ada
      .given([...start, ...many(HOUR)])
      .when(delegate(), self)
      .isRefused('limit-reached');
    ada
      .given([...start, ...many(AT)])
      .when(delegate(), self)
      .yields([granted(ONE)]);
  });

  it('is refused to who is suspended', () => {
    const suspended: ActorEvent = { type: 'actor_suspended', data: { reason: '' } };
    ada
      .given([...start, suspended])
      .when(delegate(), self)
      .isRefused('suspended');
  });
});

describe('to take back', () => {
  const command = (delegation: string): DelegationCommand => ({
    type: 'revokeDelegation',
    delegation,
    withToken: false,
  });
  const given = [...start, granted(ONE, { subject: CEM, chain: [{ id: ABOVE, by: CEM }] }), granted(TWO)];
  const administrator = principalOf('act_root', { capabilities: ['administrator'] });

  it.each<[string, Principal]>([
    ['who gave it', self],
    ['who has it', principalOf(BEN)],
    ['who is above', principalOf(CEM)],
    ['an administrator', administrator],
  ])('is for %s', (_name, by) => {
    ada
      .given(given)
      .when(command(ONE), by)
      .yields([revoked(ONE)]);
  });

  it.each<[string, Principal]>([
    ['a stranger', principalOf('act_stranger')],
    ['an administrator’s credential without admin', { ...administrator, scopes: ['delegate'] }],
    ['an administrator for some contexts only', { ...administrator, contexts: [] }],
    ['who acts for an administrator', { ...administrator, chain: [{ id: ABOVE, by: CEM }] }],
  ])('is not for %s', (_name, by) => {
    ada.given(given).when(command(ONE), by).isRefused('not-found');
  });

  it('happens once', () => {
    ada
      .given([...given, revoked(ONE)])
      .when(command(ONE), self)
      .isRefused('not-found');
  });
});

describe('a use', () => {
  const by = principalOf(BEN, { subject: ADA, chain: [{ id: ONE, by: ADA }] });
  const use: DelegationCommand = { type: 'useDelegation', delegation: ONE, at: AT };
  const used: ActorEvent = { type: 'delegation_used', data: { delegation: ONE } };
  const given = [...start, granted(ONE, { maxUses: 2 })];

  it('is taken until there are none left', () => {
    ada.given(given).when(use, by).yields([used]);
    ada
      .given([...given, used])
      .when(use, by)
      .yields([used]);
    ada
      .given([...given, used, used])
      .when(use, by)
      .isRefused('not-found');
  });

  it('is not taken before it begins, after its end, or once it is revoked', () => {
    const at = (time: string): DelegationCommand => ({ ...use, at: time });
    ada
      .given([...start, granted(ONE, { notBefore: HOUR, expiresAt: DAY })])
      .when(use, by)
      .isRefused('not-found');
    ada.given(given).when(at(HOUR), by).isRefused('not-found');
    ada
      .given([...given, revoked(ONE)])
      .when(use, by)
      .isRefused('not-found');
  });

  it('is taken by nobody who does not act with it', () => {
    for (const other of [principalOf(BEN), self, { ...by, chain: [{ id: TWO, by: ADA }] }]) {
      ada.given(given).when(use, other).isRefused('not-found');
    }
  });
});

describe('what it was made with', () => {
  const given = [...start, issued('key_2'), granted(ONE), granted(TWO, { madeWith: 'key_2' })];
  const hash = '2'.repeat(64);

  it('ends it: a key that is revoked', () => {
    const event: ActorEvent = { type: 'key_revoked', data: { key: 'key_1' } };
    ada
      .given(given)
      .when({ type: 'revokeKey', key: 'key_1' }, self)
      .yields([event, revoked(ONE, 'key_ended')]);
  });

  it('ends it: a key that is rotated at once; with an overlap its successor stands for it', () => {
    const rotate = (endsAt: string) =>
      ({ type: 'rotateKey', key: 'key_1', successor: 'key_3', hash, endsAt, at: AT }) as const;
    const event = (endsAt: string): ActorEvent => ({
      type: 'key_rotated',
      data: { key: 'key_1', successor: 'key_3', hash, endsAt },
    });
    ada
      .given(given)
      .when(rotate(AT), self)
      .yields([event(AT), revoked(ONE, 'key_ended')]);
    ada
      .given(given)
      .when(rotate(HOUR), self)
      .yields([event(HOUR)]);
    ada
      .given([...given, event(HOUR)])
      .when({ type: 'revokeKey', key: 'key_3' }, self)
      .yields([{ type: 'key_revoked', data: { key: 'key_3' } }, revoked(ONE, 'key_ended')]);
  });
});

describe('an id', () => {
  it('tells who made it, and one that was made up tells nothing', () => {
    expect(delegatorOf(delegationId(ADA, Date.now()))).toBe(ADA);
    const root = 'act_00000000000000000000000000';
    expect(delegatorOf(delegationId(root, Date.now()))).toBe(root);
    for (const text of [
      '',
      'dlg_x',
      ONE.slice(0, 30),
      `${ONE}0`,
      ONE.toLowerCase(),
      ONE.replace('_', '-'),
      `x${ONE}`,
    ]) {
      expect(delegatorOf(text)).toBeNull();
    }
    const mistyped = ONE.slice(0, 8) + (ONE[8] === '0' ? '1' : '0') + ONE.slice(9);
    expect(delegatorOf(mistyped)).toBeNull();
  });
});

describe('others', () => {
  it('learn of the living ones, with what each is good for as a digest only', () => {
    const events = [...start, granted(ONE, { maxUses: 2 }), granted(TWO), revoked(TWO)];
    const { state } = ada.given(events);
    const { delegations } = accessViewOf(ADA, state);
    expect(delegations).toMatchObject([{ id: ONE, to: BEN, parent: null, madeWith: 'key_1', isCounted: true }]);
    expect(JSON.stringify(delegations)).not.toContain('contexts:read');
    expect(endedBy(ADA, revoked(ONE))).toEqual({ delegations: [ONE] });
  });
});
