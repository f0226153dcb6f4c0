import { describe, expect, it } from 'vitest';
import { connectionDecider, lapsesAt } from '../../actors/connection.ts';
import { type ConnectionEvent, connectionType } from '../../events/connection.ts';
import { specify } from '../support/given.ts';
import { principalOf } from '../support/principals.ts';

const { given } = specify(connectionDecider, 'connection/con_1');

const ends = { from: 'ctx_a', to: 'ctx_b', type: 'depends_on', direction: 'directed' } as const;
const terms = { ...ends, idleAfterSeconds: 300 };
const requested: ConnectionEvent = { type: 'connection_requested', data: terms };
const established: ConnectionEvent = { type: 'connection_established', data: { ...ends, consentedBy: 'act_bob' } };
const declined: ConnectionEvent = { type: 'connection_declined', data: {} };
const idled: ConnectionEvent = { type: 'connection_idled', data: { lastHeartbeatAt: null } };
const resumed: ConnectionEvent = { type: 'connection_resumed', data: {} };
const failed: ConnectionEvent = { type: 'connection_failed', data: { reason: 'no route' } };
const disconnected = (reason: 'requested' | 'stale' | 'context_deleted'): ConnectionEvent => ({
  type: 'connection_disconnected',
  data: { ...ends, reason },
});
const withdrawn = (reason: 'requested' | 'expired' | 'context_deleted'): ConnectionEvent => ({
  type: 'connection_withdrawn',
  data: { reason },
});

const ask = { type: 'request', terms, isConsented: false, deletedEnd: null } as const;
const ok = { type: 'heartbeat', failure: null } as const;
const lapse = { type: 'lapse', status: 'active', lastHeartbeatAt: null } as const;
const ann = principalOf('act_ann');
const bob = principalOf('act_bob');

describe('a connection', () => {
  it('is asked for, and waits', () => {
    given([]).when(ask, ann).yields([requested]);
    expect(given([requested], ['act_ann']).state).toMatchObject({ status: 'pending', createdBy: 'act_ann' });
  });

  it('is there at once when who asks may say yes for the other end', () => {
    given([])
      .when({ ...ask, isConsented: true }, bob)
      .yields([requested, established]);
  });

  it('is established by consent, once', () => {
    given([requested]).when({ type: 'consent', deletedEnd: null }, bob).yields([established]);
    given([requested, established]).when({ type: 'consent', deletedEnd: null }, bob).yieldsNothing();
    expect(given([requested, established]).state).toMatchObject({ status: 'active', consentedBy: 'act_bob' });
  });

  it('is declined while it waits, and not any more when it is there', () => {
    given([requested]).when({ type: 'decline' }).yields([declined]);
    given([requested, declined]).when({ type: 'decline' }).yieldsNothing();
    given([requested, established]).when({ type: 'decline' }).isRefused('conflict');
    expect(given([requested, declined]).state).toMatchObject({ status: 'disconnected', reason: 'declined' });
  });

  it('is one: asked for again it is refused, unless it has ended', () => {
    given([requested]).when(ask).isRefused('already-exists');
    given([requested, established]).when(ask).isRefused('already-exists');
    given([requested, declined]).when(ask).yields([requested]);
    given([requested, established, disconnected('stale')])
      .when(ask)
      .yields([requested]);
  });

  it('begins anew without what it was before', () => {
    const again = given([requested, established, disconnected('stale'), requested], ['act_eve', '', '', 'act_ann']);
    const { state } = again;
    expect(state).toMatchObject({ status: 'pending', reason: null, consentedBy: null, createdBy: 'act_ann' });
    expect(state?.createdAt).toBe(given([requested]).state?.createdAt);
  });

  it('leads to another context, that is not deleted', () => {
    const toItself = { ...ask, terms: { ...terms, to: 'ctx_a' } };
    expect(given([]).when(toItself).isRefused('invalid')?.errors).toMatchObject([{ pointer: '/to' }]);
    given([])
      .when({ ...ask, deletedEnd: 'ctx_b' })
      .isRefused('deleted');
    given([requested]).when({ type: 'consent', deletedEnd: 'ctx_a' }).isRefused('deleted');
  });

  it('changes by heartbeats only when its status does', () => {
    const bad = { type: 'heartbeat', failure: 'no route' } as const;
    given([requested, established]).when(ok).yieldsNothing();
    given([requested, established]).when(bad).yields([failed]);
    given([requested, established, failed])
      .when({ ...bad, failure: 'other' })
      .yieldsNothing();
    given([requested, established, failed]).when(ok).yields([resumed]);
    given([requested, established, idled]).when(ok).yields([resumed]);
    given([requested, established, idled]).when(bad).yields([failed]);
    expect(given([requested, established, failed]).state).toMatchObject({ status: 'failed', reason: 'no route' });
    expect(given([requested, established, failed, resumed]).state).toMatchObject({ status: 'active', reason: null });
  });

  it('takes no heartbeats before it is there and after it has ended', () => {
    given([requested]).when(ok).isRefused('not-connected');
    given([requested, declined]).when(ok).isRefused('not-connected');
    given([requested, declined]).when({ type: 'consent', deletedEnd: null }).isRefused('not-connected');
    given([]).when(ok).isRefused('not-found');
  });

  it('goes idle, then stale; and expires when nobody answers', () => {
    given([requested, established]).when(lapse).yields([idled]);
    given([requested, established, idled])
      .when({ ...lapse, status: 'idle' })
      .yields([disconnected('stale')]);
    given([requested, established, failed])
      .when({ ...lapse, status: 'failed' })
      .yields([disconnected('stale')]);
    given([requested])
      .when({ ...lapse, status: 'pending' })
      .yields([withdrawn('expired')]);
  });

  it('does not lapse when it has become something else meanwhile', () => {
    given([requested, established, failed]).when(lapse).yieldsNothing();
  });

  it('ends when it is disconnected or loses a context, once', () => {
    given([requested])
      .when({ type: 'disconnect' })
      .yields([withdrawn('requested')]);
    given([requested, established])
      .when({ type: 'disconnect' })
      .yields([disconnected('requested')]);
    given([requested, declined]).when({ type: 'disconnect' }).yieldsNothing();
    given([requested])
      .when({ type: 'endWithContext' })
      .yields([withdrawn('context_deleted')]);
    given([requested, established, idled])
      .when({ type: 'endWithContext' })
      .yields([disconnected('context_deleted')]);
    given([requested, established, disconnected('context_deleted')])
      .when({ type: 'endWithContext' })
      .yieldsNothing();
  });
});

describe('the time that a connection has', () => {
  const [hour, day] = [3_600_000, 86_400_000];

  /** Milliseconds from its last change until it lapses. */
  function time(events: readonly ConnectionEvent[], heardAfterMs?: number): number | null {
    const { state } = given(events);
    if (state === null) throw new Error('there is no connection');
    const changedAt = Date.parse(state.updatedAt);
    const at = lapsesAt(state, heardAfterMs === undefined ? null : changedAt + heardAfterMs);
    return at === null ? null : at - changedAt;
  }

  it('is what was asked for, from the last sign of life', () => {
    expect(time([requested, established])).toBe(300_000);
    expect(time([requested, established], 60_000)).toBe(360_000);
    expect(time([requested, established], -60_000)).toBe(300_000);
  });

  it('is a day when it is idle or fails, and a week when it waits', () => {
    expect(time([requested, established, idled])).toBe(day);
    expect(time([requested, established, failed], hour)).toBe(day + hour);
    expect(time([requested])).toBe(7 * day);
    expect(time([requested, declined])).toBeNull();
  });

  it('has no end when no heartbeats are expected of it', () => {
    const quiet: ConnectionEvent = { type: 'connection_requested', data: { ...terms, idleAfterSeconds: null } };
    expect(time([quiet, established])).toBeNull();
    expect(time([quiet, established, failed])).toBeNull();
  });
});

describe('the type of a connection', () => {
  it.each(['uses', 'depends_on', 'part-of', 'a2_b-c', `a${'b'.repeat(49)}`])('may be %s', (type) => {
    expect(connectionType.safeParse(type).success).toBe(true);
  });

  it.each(['', 'Uses', 'depends on', '_a', 'a_', 'a--b', '2a', 'é', 'a\n', `a${'b'.repeat(50)}`])(
    'may not be %j',
    (type) => {
      expect(connectionType.safeParse(type).success).toBe(false);
    },
  );
});
