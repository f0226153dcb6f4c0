import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Role } from '../../actors/access.ts';
import {
  chainOf,
  type Handed,
  type Held,
  hasScope,
  isDelegate,
  isGood,
  type Key,
  type Roles,
  reaches,
  rootOf,
  type Session,
  type Someone,
  standingOf,
  stands,
  userOf,
} from '../support/access/model.ts';
import { liftLimits } from '../support/access/world.ts';
import { as, expectJson, type IssuedKeyJson, issueKey, keyHolder, startSession } from '../support/actors.ts';
import { api, type ContextJson } from '../support/api.ts';
import { askDelegation, type DelegationJson } from '../support/delegations.ts';
import { printedSeed } from '../support/seed.ts';

const MINUTE_MS = 60_000;
const RUNS = 12;
const STEPS = 20;
const PEOPLE = 4;
const CHAIN_MAX = 5;
/** Credentials of each kind in one run: each is tried after every step. */
const SESSIONS_MAX = 3;
const DELEGATIONS_MAX = 7;

afterEach(() => {
  vi.useRealTimers();
});

const who = fc.nat(PEOPLE - 1);
const which = fc.nat(30);
const where = fc.nat(1);
const role = fc.constantFrom<Role>('owner', 'editor', 'viewer', 'auditor');
const ALL = ['contexts:read', 'contexts:write', 'contexts:share', 'delegate'];

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('share' as const), with: which, who, where, role }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('changeRole' as const), with: which, who, where, role }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), with: which, who, where }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), with: which, where }) },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constant('delegate' as const),
      // Mostly with what was handed on last, so that there are chains.
      with: fc.oneof({ weight: 3, arbitrary: fc.nat(1) }, { weight: 2, arbitrary: which }),
      who,
      scopes: fc.oneof(
        { weight: 3, arbitrary: fc.constant(ALL) },
        { weight: 1, arbitrary: fc.uniqueArray(fc.constantFrom(...ALL), { minLength: 1 }) },
      ),
      where: fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: where }),
      /** Null for as long as can be had, an hour at most. */
      minutes: fc.constantFrom(null, null, 10, 60),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('revokeDelegation' as const), with: which, which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rotateKey' as const), who, overlap: fc.constantFrom(0, 5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revokeKey' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('startSession' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('endSession' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('suspend' as const), who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reinstate' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('makeAuditor' as const), who, is: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), minutes: fc.constantFrom(6, 11, 30) }) },
);

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;
type Of<Kind extends Step['do']> = Extract<Step, { do: Kind }>;

/** Rights that go through two hands: chance leaves them out of some runs. */
const handOnTwice: Step[] = [0, 1].map((who) => ({
  do: 'delegate',
  with: 0,
  who,
  scopes: ALL,
  where: null,
  minutes: null,
}));

/** The service as the model has it, and the steps carried out in both. */
class Play {
  readonly people: Someone[] = [];
  /** The key that somebody uses at present. */
  readonly current = new Map<Someone, Key>();
  readonly keys: Key[] = [];
  readonly sessions: Session[] = [];
  readonly handed: Handed[] = [];
  readonly contexts: { readonly id: string; readonly roles: Roles }[] = [];

  static async begin(): Promise<Play> {
    const play = new Play();
    for (let n = 0; n < PEOPLE; n++) {
      const { id, key, keyId } = await keyHolder();
      const someone = { id, isSuspended: false, isAuditor: false };
      play.people.push(someone);
      play.#take(someone, keyId, key);
    }
    // Whose keys are the newest, so that most is done with them.
    for (const owner of play.people.slice(-2)) {
      const made = await as(play.#key(owner).secret, '/v1/contexts', { method: 'POST', json: { name: 'Theirs' } });
      const { id } = await expectJson<ContextJson>(made, 201);
      play.contexts.push({ id, roles: new Map([[owner, 'owner']]) });
    }
    return play;
  }

  get all(): Held[] {
    return [...this.keys, ...this.sessions, ...this.handed];
  }

  async make(made: Step): Promise<void> {
    switch (made.do) {
      case 'share':
        return this.#share(made);
      case 'changeRole': {
        const { held, context, path, isOwner } = this.#owning(made);
        const member = this.#person(made.who);
        const isThere = context.roles.has(member) && !this.#isLast(context.roles, member, made.role);
        const isSame = context.roles.get(member) === made.role;
        const isDone = isOwner && isThere && (isSame || !isDelegate(held, member));
        const sent = as(held.secret, `${path}/members/${member.id}`, { method: 'PATCH', json: { role: made.role } });
        if (await this.#agrees(sent, isDone, made)) context.roles.set(member, made.role);
        return;
      }
      case 'remove':
      case 'leave': {
        const { held, context, path, isOwner, mayShare } = this.#owning(made);
        const member = made.do === 'leave' ? rootOf(held) : this.#person(made.who);
        const isIn = context.roles.has(member) && !this.#isLast(context.roles, member, null);
        const isDone = isIn && (member === rootOf(held) ? mayShare : isOwner);
        const sent =
          made.do === 'leave'
            ? as(held.secret, `${path}/leave`, { method: 'POST' })
            : as(held.secret, `${path}/members/${member.id}`, { method: 'DELETE' });
        if (await this.#agrees(sent, isDone, made)) context.roles.delete(member);
        return;
      }
      case 'delegate':
        return this.#delegate(made);
      case 'revokeDelegation': {
        const held = this.#held(made.with);
        const target = this.handed[made.which % Math.max(this.handed.length, 1)];
        if (!target) return;
        const user = userOf(held);
        const isParty = user === target.to || chainOf(target).some(({ by }) => by === user);
        const isMade = target.madeWith.kind === 'delegation' || stands(target.madeWith, Date.now());
        const isThere = isMade && !target.isEnded && (target.until ?? 0) > Date.now();
        const { status } = await as(held.secret, `/v1/delegate/${target.id}`, { method: 'DELETE' });
        const isDone = isGood(held, Date.now()) && hasScope(held, 'delegate') && isParty;
        // One that opens nothing any more may be there still: whether it is tells nothing.
        if (isThere || !isDone) expect(status === 204, JSON.stringify(made)).toBe(isDone);
        if (isDone) target.isEnded = true;
        return;
      }
      case 'rotateKey': {
        const someone = this.#person(made.who);
        const key = this.#key(someone);
        const json = { overlapSeconds: made.overlap * 60 };
        const rotated = await api(`/v1/actors/${someone.id}/keys/${key.id}/rotate`, { method: 'POST', json });
        const { id, key: secret } = await expectJson<IssuedKeyJson>(rotated, 201);
        key.successor = this.#take(someone, id, secret);
        key.until = Date.now() + made.overlap * MINUTE_MS;
        for (const each of this.handed) {
          if (each.madeWith === key && made.overlap > 0) each.madeWith = key.successor;
          if (each.madeWith.kind === 'session' && each.madeWith.startedWith === key) each.isEnded = true;
        }
        return;
      }
      case 'revokeKey': {
        const someone = this.#person(made.who);
        const key = this.#key(someone);
        expect((await api(`/v1/actors/${someone.id}/keys/${key.id}`, { method: 'DELETE' })).ok).toBe(true);
        key.isEnded = true;
        const { id, key: secret } = await issueKey(someone.id);
        this.#take(someone, id, secret);
        return;
      }
      case 'startSession': {
        const key = this.#key(this.#person(made.who));
        if (!isGood(key, Date.now()) || this.sessions.length >= SESSIONS_MAX) return;
        const { id, accessToken } = await startSession(key.secret);
        // Tokens count in whole seconds.
        const until = (Math.floor(Date.now() / 1000) + 600) * 1000;
        const session = { kind: 'session', secret: accessToken, id, of: key.of, startedWith: key, until } as const;
        this.sessions.push({ ...session, isEnded: false });
        return;
      }
      case 'endSession': {
        const session = this.sessions[made.which % Math.max(this.sessions.length, 1)];
        if (!session || session.isEnded) return;
        await api(`/v1/actors/${session.of.id}/sessions/${session.id}`, { method: 'DELETE' });
        session.isEnded = true;
        return;
      }
      case 'suspend':
      case 'reinstate': {
        const someone = this.#person(made.who);
        await api(`/v1/actors/${someone.id}/${made.do}`, { method: 'POST' });
        someone.isSuspended = made.do === 'suspend';
        return;
      }
      case 'makeAuditor': {
        const someone = this.#person(made.who);
        const method = made.is ? 'PUT' : 'DELETE';
        await expectJson(await api(`/v1/actors/${someone.id}/capabilities/auditor`, { method }), 200);
        someone.isAuditor = made.is;
        return;
      }
      case 'pass':
        vi.setSystemTime(Date.now() + made.minutes * MINUTE_MS);
        return;
      default:
        return made satisfies never;
    }
  }

  /**
   * Tries every credential there ever was on every context: to read it, and to change it.
   *
   * @returns how many chains of two delegations and more let in
   */
  async check(made: Step): Promise<number> {
    const tried = this.all.flatMap((held) => this.contexts.map((context) => this.#try(held, context, made)));
    return (await Promise.all(tried)).filter((isChain) => isChain).length;
  }

  async #try(held: Held, { id, roles }: { id: string; roles: Roles }, made: Step): Promise<boolean> {
    const change = { method: 'PATCH', json: { name: 'Another' }, headers: { 'If-Match': '"999999"' } };
    const read = await as(held.secret, `/v1/contexts/${id}`);
    const changed = await as(held.secret, `/v1/contexts/${id}`, change);
    const standing = standingOf(held, id, roles);
    const canChange = standing === 'owner' || standing === 'editor' ? 412 : 403;
    const statusOf = (scope: string, status: number) => {
      if (!isGood(held, Date.now())) return 401;
      if (!hasScope(held, scope)) return 403;
      return standing === null ? 404 : status;
    };
    const expected = [statusOf('contexts:read', 200), statusOf('contexts:write', canChange)];
    const what = `${JSON.stringify(made)}; ${held.kind} of ${rootOf(held).id} with ${userOf(held).id}, ${standing}`;
    expect([what, read.status, changed.status]).toEqual([what, ...expected]);
    return chainOf(held).length > 1 && read.status === 200;
  }

  async #share(made: Of<'share'>): Promise<void> {
    const { held, context, path, isOwner } = this.#owning(made);
    const guest = this.#person(made.who);
    const isOneself = guest === rootOf(held) || isDelegate(held, guest);
    const isDone = isOwner && !isOneself && !context.roles.has(guest) && !guest.isSuspended;
    const json = { actor: guest.id, role: made.role };
    const sent = as(held.secret, `${path}/invitations`, { method: 'POST', json });
    if (!(await this.#agrees(sent, isDone, made))) return;
    const { id } = await (await sent).json<{ id: string }>();
    const accepted = await as(this.#key(guest).secret, `${path}/invitations/${id}/accept`, { method: 'POST' });
    expect(accepted.status).toBe(200);
    context.roles.set(guest, made.role);
  }

  async #delegate(made: Of<'delegate'>): Promise<void> {
    if (this.handed.length >= DELEGATIONS_MAX) return;
    const held = this.#held(made.with);
    const to = this.#person(made.who);
    const context = made.where === null ? undefined : this.contexts[made.where]?.id;
    const chain = chainOf(held);
    const ofKey = held.kind === 'key' ? [held.until ?? Number.POSITIVE_INFINITY] : [];
    const latest = Math.min(...ofKey, ...chain.map((link) => link.until ?? Number.POSITIVE_INFINITY));
    const wanted = Date.now() + (made.minutes ?? 60) * MINUTE_MS;
    const until = made.minutes === null ? Math.min(wanted, latest) : wanted;
    const isNarrower =
      made.scopes.every((scope) => hasScope(held, scope)) && (context === undefined || reaches(held, context));
    const isInChain = to === userOf(held) || chain.some(({ by }) => by === to);
    const mayHandOn = isGood(held, Date.now()) && hasScope(held, 'delegate') && chain.length < CHAIN_MAX;
    const isDone = mayHandOn && isNarrower && !isInChain && !to.isSuspended && until <= latest;
    const json = {
      to: to.id,
      scopes: made.scopes,
      ...(made.minutes !== null && { ttlSeconds: made.minutes * 60 }),
      ...(context && { contexts: [context] }),
    };
    const sent = askDelegation(held.secret, json);
    if (!(await this.#agrees(sent, isDone, made))) return;
    const { id, token } = await (await sent).json<DelegationJson>();
    this.handed.push({
      kind: 'delegation',
      secret: token,
      id,
      by: userOf(held),
      to,
      // A key that was rotated is stood for by the one in its place.
      madeWith: held,
      scopes: made.scopes,
      contexts: context === undefined ? null : [context],
      // Tokens count in whole seconds.
      until: Math.floor(until / 1000) * 1000,
      isEnded: false,
    });
  }

  /** Whether it was done, which has to be what the model says. */
  async #agrees(sent: Promise<Response>, isDone: boolean, made: Step): Promise<boolean> {
    const response = await sent;
    const text = response.ok ? '' : await response.text();
    expect([made, response.ok], text).toEqual([made, isDone]);
    expect(response.status).toBeLessThan(500);
    return isDone;
  }

  #owning(made: { readonly with: number; readonly where: number }) {
    const held = this.#held(made.with);
    const context = this.contexts[made.where];
    if (!context) throw new Error('there are two contexts');
    const mayShare =
      isGood(held, Date.now()) &&
      hasScope(held, 'contexts:share') &&
      standingOf(held, context.id, context.roles) !== null;
    const isOwner = mayShare && context.roles.get(rootOf(held)) === 'owner';
    return { held, context, path: `/v1/contexts/${context.id}`, isOwner, mayShare };
  }

  #isLast(roles: Roles, member: Someone, next: Role | null): boolean {
    const owners = [...roles.values()].filter((each) => each === 'owner').length;
    return next !== 'owner' && roles.get(member) === 'owner' && owners === 1;
  }

  #take(of: Someone, id: string, secret: string): Key {
    const key: Key = { kind: 'key', id, secret, of, until: null, isEnded: false, successor: null };
    this.keys.push(key);
    this.current.set(of, key);
    return key;
  }

  #person(index: number): Someone {
    const found = this.people[index];
    if (!found) throw new Error('there is no such person');
    return found;
  }

  #key(of: Someone): Key {
    const found = this.current.get(of);
    if (!found) throw new Error('everybody has a key');
    return found;
  }

  /** Some credential, good or not; of the newest more often. */
  #held(index: number): Held {
    const found = this.all.toReversed()[index % this.all.length];
    if (!found) throw new Error('everybody has a key');
    return found;
  }
}

describe('who may do what, by whatever they hold', () => {
  beforeAll(liftLimits);

  it('is what a plain model says, after shares, delegations, rotations, suspensions and revocations in any order', {
    timeout: 240_000,
  }, async () => {
    const seed = printedSeed('access-model');
    let letIn = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: STEPS, size: 'max' }), async (steps) => {
        vi.useRealTimers();
        vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
        const play = await Play.begin();
        for (const each of steps) {
          await play.make(each);
          letIn += await play.check(each);
        }
      }),
      // Shrinking takes minutes: the step that failed is named, and the seed brings it back.
      { seed, numRuns: RUNS, endOnFailure: true, examples: [[handOnTwice]] },
    );
    // A run in which nobody hands anything on would show nothing.
    expect(letIn).toBeGreaterThan(0);
  });
});
