import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { as, expectJson, type IssuedKeyJson, issueKey, type KeyHolder, keyHolder } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { askDelegation, type DelegationJson } from '../support/delegations.ts';
import { printedSeed } from '../support/seed.ts';

const MINUTE_MS = 60_000;
const RUNS = 30;
const STEPS = 18;
const ACTORS = 5;
/** Delegations in one run: each is tried after every step. */
const DELEGATIONS = 8;
const CHAIN_MAX = 5;

afterEach(() => {
  vi.useRealTimers();
});

const actor = fc.nat(ACTORS - 1);
const ALL = ['contexts:read', 'contexts:write', 'delegate'];
const scopes = fc.uniqueArray(fc.constantFrom(...ALL), { minLength: 1 });

const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('grant' as const),
      /** From which credential: a key, or one of the delegations, counted from the newest. */
      from: fc.oneof(
        { weight: 1, arbitrary: fc.record({ key: fc.constantFrom(0, 0, 0, 1, 2, 3) }) },
        { weight: 3, arbitrary: fc.record({ newest: fc.nat(2) }) },
      ),
      to: actor,
      scopes: fc.oneof({ weight: 4, arbitrary: fc.constant(ALL) }, { weight: 1, arbitrary: scopes }),
      contexts: fc.oneof(
        fc.constant<number[] | null>(null),
        fc.constant<number[]>([0, 1]),
        fc.uniqueArray(fc.nat(1), { minLength: 1 }),
      ),
      minutes: fc.constantFrom(null, null, 10, 40),
      maxUses: fc.constantFrom(null, null, null, null, 1, 10, 40),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('revoke' as const), which: fc.nat(DELEGATIONS - 1), by: actor }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('suspend' as const), who: actor }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reinstate' as const), who: actor }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revokeKey' as const), who: actor }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('rotateKey' as const), who: actor, overlap: fc.constantFrom(0, 5) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), minutes: fc.constantFrom(6, 6, 30) }) },
);

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;
type Grant = Extract<Step, { do: 'grant' }>;

/** A key of an actor: which one it is does not matter, only whether what was made with it still stands. */
interface ModelKey {
  id: string;
  key: string;
  isGone: boolean;
}

interface ModelActor extends KeyHolder {
  isSuspended: boolean;
  current: ModelKey;
}

interface ModelDelegation {
  readonly id: string;
  readonly token: string;
  readonly by: ModelActor;
  readonly to: ModelActor;
  readonly parent: ModelDelegation | null;
  readonly madeWith: ModelKey | null;
  readonly scopes: readonly string[];
  /** Null for all. */
  readonly contexts: readonly string[] | null;
  readonly until: number;
  usesLeft: number | null;
  isRevoked: boolean;
}

/** What the reference model knows: who handed what to whom, as plain values. The first actor owns the two contexts. */
class Model {
  readonly actors: ModelActor[];
  readonly contexts: readonly string[];
  readonly delegations: ModelDelegation[] = [];

  constructor(holders: readonly KeyHolder[], contexts: readonly string[]) {
    this.actors = holders.map((holder) => ({
      ...holder,
      isSuspended: false,
      current: { id: holder.keyId, key: holder.key, isGone: false },
    }));
    this.contexts = contexts;
  }

  actor(index: number): ModelActor {
    const found = this.actors[index];
    if (!found) throw new Error('no such actor');
    return found;
  }

  pick(which: number): ModelDelegation | undefined {
    return this.delegations[which % Math.max(this.delegations.length, 1)];
  }

  isGood(delegation: ModelDelegation): boolean {
    return chainOf(delegation).every(
      ({ by, to, until, isRevoked, madeWith }) =>
        !isRevoked && !by.isSuspended && !to.isSuspended && until > Date.now() && !madeWith?.isGone,
    );
  }

  /** Takes a use of every link that is counted, from the root on, as long as there are any. */
  takeUse(delegation: ModelDelegation): boolean {
    for (const link of chainOf(delegation)) {
      if (link.usesLeft === 0) return false;
      if (link.usesLeft !== null) link.usesLeft -= 1;
    }
    return true;
  }

  /** The status that a request with the token should be answered with. */
  expected(delegation: ModelDelegation, scope: string, context: string): number {
    if (!this.isGood(delegation) || !this.takeUse(delegation)) return 401;
    const chain = chainOf(delegation);
    if (!chain.every(({ scopes }) => scopes.includes(scope))) return 403;
    const isOwner = chain[0]?.by === this.actors[0];
    return isOwner && chain.every(({ contexts }) => contexts?.includes(context) ?? true) ? 200 : 404;
  }
}

function chainOf(delegation: ModelDelegation): ModelDelegation[] {
  return delegation.parent === null ? [delegation] : [...chainOf(delegation.parent), delegation];
}

async function grant(model: Model, wanted: Grant): Promise<void> {
  if (model.delegations.length >= DELEGATIONS) return;
  const parent = 'newest' in wanted.from ? (model.delegations.at(-1 - wanted.from.newest) ?? null) : null;
  const by = 'key' in wanted.from ? model.actor(wanted.from.key) : (parent?.to ?? model.actor(0));
  const to = model.actor(wanted.to);
  const contexts = wanted.contexts?.map((index) => model.contexts[index] ?? '') ?? null;
  const chain = parent === null ? [] : chainOf(parent);
  const latest = Math.min(...chain.map(({ until }) => until), Date.now() + 24 * 60 * MINUTE_MS);
  const until =
    wanted.minutes === null ? Math.min(latest, Date.now() + 60 * MINUTE_MS) : Date.now() + wanted.minutes * MINUTE_MS;

  const isKnown = parent === null ? !by.isSuspended : model.isGood(parent) && model.takeUse(parent);
  const mayHandOn = chain.every(({ scopes }) => scopes.includes('delegate')) && chain.length < CHAIN_MAX;
  const isNarrower =
    wanted.scopes.every((scope) => chain.every((link) => link.scopes.includes(scope))) &&
    (contexts?.every((context) => chain.every((link) => link.contexts?.includes(context) ?? true)) ?? true);
  const isInChain = to === by || chain.some((link) => link.by === to);
  const isGiven = isKnown && mayHandOn && isNarrower && !isInChain && !to.isSuspended && until <= latest;

  const response = await askDelegation(parent?.token ?? by.current.key, {
    to: to.id,
    scopes: wanted.scopes,
    ...(contexts && { contexts }),
    ...(wanted.minutes !== null && { ttlSeconds: wanted.minutes * 60 }),
    ...(wanted.maxUses !== null && { maxUses: wanted.maxUses }),
  });
  if (!isGiven) {
    expect(response.status, await response.text()).toBeOneOf([400, 401, 403, 409]);
    return;
  }
  const made = await expectJson<DelegationJson>(response, 201);
  model.delegations.push({
    id: made.id,
    token: made.token,
    by,
    to,
    parent,
    madeWith: parent === null ? by.current : null,
    scopes: wanted.scopes,
    contexts: contexts ?? parent?.contexts ?? null,
    // Tokens count in whole seconds.
    until: Math.floor(until / 1000) * 1000,
    usesLeft: wanted.maxUses,
    isRevoked: false,
  });
}

async function make(model: Model, made: Step): Promise<void> {
  switch (made.do) {
    case 'grant':
      return grant(model, made);
    case 'revoke': {
      const delegation = model.pick(made.which);
      const by = model.actor(made.by);
      if (!delegation || by.isSuspended) return;
      const isParty = chainOf(delegation).some((link) => link.by === by) || delegation.to === by;
      const isThere = !delegation.isRevoked && delegation.until > Date.now() && !delegation.madeWith?.isGone;
      const path = `/v1/delegate/${delegation.id}`;
      const { status } = await as(by.current.key, path, { method: 'DELETE' });
      // One that has expired may be there still: whether it is tells nothing.
      if (isThere || !isParty) expect(status).toBe(isParty ? 204 : 404);
      if (isParty) delegation.isRevoked = true;
      return;
    }
    case 'suspend':
    case 'reinstate': {
      const who = model.actor(made.who);
      await api(`/v1/actors/${who.id}/${made.do}`, { method: 'POST' });
      who.isSuspended = made.do === 'suspend';
      return;
    }
    case 'revokeKey': {
      const who = model.actor(made.who);
      expect((await api(`/v1/actors/${who.id}/keys/${who.current.id}`, { method: 'DELETE' })).status).toBe(204);
      who.current.isGone = true;
      const { id, key } = await issueKey(who.id);
      who.current = { id, key, isGone: false };
      return;
    }
    case 'rotateKey': {
      const who = model.actor(made.who);
      const json = { overlapSeconds: made.overlap * 60 };
      const path = `/v1/actors/${who.id}/keys/${who.current.id}/rotate`;
      const { id, key } = await expectJson<IssuedKeyJson>(await api(path, { method: 'POST', json }), 201);
      if (made.overlap === 0) {
        who.current.isGone = true;
        who.current = { id, key, isGone: false };
      } else {
        // What was made with the old one stands by the new one now.
        Object.assign(who.current, { id, key });
      }
      return;
    }
    case 'pass':
      vi.setSystemTime(Date.now() + made.minutes * MINUTE_MS);
      return;
    default:
      return made satisfies never;
  }
}

describe('delegations, against a model', () => {
  const seed = printedSeed('delegation-model');

  it('no chain of delegations, revocations, suspensions, rotations and time, in any order, gives more than the root had or outlives an end', {
    timeout: 300_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: STEPS, size: 'max' }), async (steps) => {
        vi.useRealTimers();
        vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
        const holders = await Promise.all(Array.from({ length: ACTORS }, () => keyHolder()));
        const contexts = await Promise.all(['one', 'two'].map((name) => contextOf(holders[0]?.key ?? '', name)));
        const model = new Model(holders, contexts);
        for (const each of steps) {
          await make(model, each);
          for (const delegation of model.delegations) {
            for (const context of contexts) {
              const expected = model.expected(delegation, 'contexts:read', context);
              const { status } = await as(delegation.token, `/v1/contexts/${context}`);
              expect(status, `${each.do}, then read by ${delegation.id}`).toBe(expected);
            }
            const expected = model.expected(delegation, 'contexts:write', contexts[0] ?? '');
            const change = { method: 'PATCH', json: {} };
            const { status } = await as(delegation.token, `/v1/contexts/${contexts[0]}`, change);
            expect(status, `${each.do}, then write by ${delegation.id}`).toBe(expected);
          }
        }
      }),
      { seed, numRuns: RUNS },
    );
  });
});

async function contextOf(key: string, name: string): Promise<string> {
  const response = await as(key, '/v1/contexts', { method: 'POST', json: { name } });
  return (await expectJson<{ id: string }>(response, 201)).id;
}
