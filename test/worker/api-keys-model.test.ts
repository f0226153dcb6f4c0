import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { as, expectJson, type IssuedKeyJson, issueKey, registerActor, startSession } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { printedSeed } from '../support/seed.ts';

const MINUTE_MS = 60_000;
const RUNS = 25;
const STEPS = 20;

afterEach(() => {
  vi.useRealTimers();
});

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('issue' as const), minutes: fc.constantFrom(null, 45, 90) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('rotate' as const), which: fc.nat(9), overlap: fc.constantFrom(0, 5, 60) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('revoke' as const), which: fc.nat(9), withSuccessors: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('session' as const), which: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('endSession' as const), which: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('suspend' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reinstate' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), minutes: fc.constantFrom(6, 30) }) },
);

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** What the model knows of a key: until when it is good, by time alone; null for ever. */
interface ModelKey {
  readonly id: string;
  readonly key: string;
  until: number | null;
  isRevoked: boolean;
  successor: ModelKey | null;
}

interface ModelSession {
  readonly id: string;
  readonly token: string;
  readonly startedWith: ModelKey;
  readonly until: number;
  isEnded: boolean;
}

class Model {
  readonly keys: ModelKey[] = [];
  readonly sessions: ModelSession[] = [];
  isSuspended = false;

  isGood(key: ModelKey): boolean {
    return this.isThere(key) && !this.isSuspended;
  }

  /** Whether a key has neither been revoked nor expired. */
  isThere({ isRevoked, until }: ModelKey): boolean {
    return !isRevoked && (until === null || until > Date.now());
  }

  /** All that have taken a key's place, the oldest first. */
  successors({ successor }: ModelKey): ModelKey[] {
    return successor === null ? [] : [successor, ...this.successors(successor)];
  }

  isGoodSession({ startedWith, until, isEnded }: ModelSession): boolean {
    return !isEnded && until > Date.now() && this.isGood(startedWith);
  }

  /** A key that can be changed still, if there is one. */
  pick(which: number): ModelKey | undefined {
    const left = this.keys.filter((key) => this.isThere(key));
    return left[which % Math.max(left.length, 1)];
  }
}

async function make(actor: string, model: Model, made: Step): Promise<void> {
  switch (made.do) {
    case 'issue': {
      const until = made.minutes === null ? null : Date.now() + made.minutes * MINUTE_MS;
      const wanted = until === null ? {} : { expiresAt: new Date(until).toISOString() };
      const { id, key } = await issueKey(actor, wanted);
      model.keys.push({ id, key, until, isRevoked: false, successor: null });
      return;
    }
    case 'rotate': {
      const old = model.pick(made.which);
      if (!old || old.successor) return;
      const json = { overlapSeconds: made.overlap * 60 };
      const response = await api(`/v1/actors/${actor}/keys/${old.id}/rotate`, { method: 'POST', json });
      const { id, key } = await expectJson<IssuedKeyJson>(response, 201);
      old.successor = { id, key, until: old.until, isRevoked: false, successor: null };
      model.keys.push(old.successor);
      const endsAt = Date.now() + made.overlap * MINUTE_MS;
      old.until = old.until === null ? endsAt : Math.min(old.until, endsAt);
      return;
    }
    case 'revoke': {
      const key = model.pick(made.which);
      if (!key) return;
      const path = `/v1/actors/${actor}/keys/${key.id}?successors=${made.withSuccessors}`;
      const response = await api(path, { method: 'DELETE' });
      key.isRevoked = true;
      const successors = model.successors(key);
      if (made.withSuccessors) for (const each of successors) each.isRevoked = true;
      const left = successors.filter((each) => model.isThere(each)).map(({ id }) => id);
      if (left.length === 0) expect(response.status).toBe(204);
      else expect(await expectJson(response, 200)).toEqual({ successors: left });
      return;
    }
    case 'session': {
      const key = model.pick(made.which);
      if (!key || !model.isGood(key)) return;
      const { id, accessToken } = await startSession(key.key);
      // Tokens count in whole seconds.
      const until = (Math.floor(Date.now() / 1000) + 600) * 1000;
      model.sessions.push({ id, token: accessToken, startedWith: key, until, isEnded: false });
      return;
    }
    case 'endSession': {
      const session = model.sessions.filter((each) => !each.isEnded && model.isGood(each.startedWith))[made.which];
      if (!session) return;
      await api(`/v1/actors/${actor}/sessions/${session.id}`, { method: 'DELETE' });
      session.isEnded = true;
      return;
    }
    case 'suspend':
      await api(`/v1/actors/${actor}/suspend`, { method: 'POST' });
      model.isSuspended = true;
      return;
    case 'reinstate':
      await api(`/v1/actors/${actor}/reinstate`, { method: 'POST' });
      model.isSuspended = false;
      return;
    case 'pass':
      vi.setSystemTime(Date.now() + made.minutes * MINUTE_MS);
      return;
    default:
      return made satisfies never;
  }
}

describe('keys and sessions, against a model', () => {
  const seed = printedSeed('api-keys-model');

  it('whatever is issued, rotated, revoked, suspended and reinstated, in any order: only what is good lets in', {
    timeout: 120_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: STEPS, size: 'max' }), async (steps) => {
        vi.useRealTimers();
        vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
        const { id } = await registerActor();
        const model = new Model();
        for (const each of steps) {
          await make(id, model, each);
          for (const key of model.keys) {
            const { status } = await as(key.key, '/v1/actors/me');
            expect(status, `${each.do}, then ${key.id}`).toBe(model.isGood(key) ? 200 : 401);
          }
          for (const session of model.sessions) {
            const { status } = await as(session.token, '/v1/actors/me');
            expect(status, `${each.do}, then ${session.id}`).toBe(model.isGoodSession(session) ? 200 : 401);
          }
        }
      }),
      { seed, numRuns: RUNS },
    );
  });
});
