import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { isRefusal } from '../../actors/decider.ts';
import type { CommandReply, CommandRequest } from '../../actors/messages.ts';
import type { Envelope } from '../../events/envelope.ts';
import { isIntact } from '../../events/envelope.ts';
import oldEvents from '../node/fixtures/counter-events.json';
import { type CounterCommand, RecordingSink } from '../support/counter.ts';
import { ADMINISTRATOR, principalOf } from '../support/principals.ts';

/** An object of its own for each test: storage is shared by the tests of a file. */
function counter(id: string) {
  const stub = env.COUNTERS.get(env.COUNTERS.idFromName(id));
  const request = (command: CounterCommand): CommandRequest<CounterCommand> => ({
    id,
    command,
    principal: principalOf('act_1'),
    cause: { correlationId: 'r', causationId: null, commandId: 'c' },
  });
  return {
    stub,
    stream: `counter/${id}`,
    async execute(command: CounterCommand, more: Partial<CommandRequest<CounterCommand>> = {}): Promise<CommandReply> {
      const reply = await stub.execute({ ...request(command), ...more });
      if (isRefusal(reply)) throw new Error(`${reply.refused}: ${reply.detail}`);
      return reply;
    },
    refusal(command: CounterCommand, more: Partial<CommandRequest<CounterCommand>> = {}) {
      return stub.execute({ ...request(command), ...more });
    },
    async events(): Promise<Envelope[]> {
      const all: Envelope[] = [];
      for (;;) {
        const page = await stub.history(ADMINISTRATOR, all.length, 1000);
        if (isRefusal(page)) throw new Error(page.detail);
        all.push(...page.events.map((text): Envelope => JSON.parse(text)));
        if (page.isUpToDate) return all;
      }
    },
    async total(version?: number): Promise<unknown> {
      const view = await stub.view(ADMINISTRATOR, version === undefined ? undefined : { version });
      if (isRefusal(view)) throw new Error(view.detail);
      return JSON.parse(view.body);
    },
    sql<Row extends Record<string, SqlStorageValue>>(query: string): Promise<Row[]> {
      return runInDurableObject(stub, (_object, state) => state.storage.sql.exec<Row>(query).toArray());
    },
  };
}

describe('a stream type that is only its events, its decider and a few lines of object', () => {
  it('has a log, versions without a gap, intact hashes and its own stream name', async () => {
    const c = counter('plain');
    await c.execute({ type: 'add', amount: 1 });
    await c.execute({ type: 'addEach', amounts: [2, 3] });
    const events = await c.events();
    expect(events.map(({ version, data }) => [version, data.amount])).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    expect(events.every((event) => isIntact(event) && event.stream === 'counter/plain')).toBe(true);
    expect(await c.total()).toEqual({ total: 6, isClosed: false });
  });

  it('writes nothing when its decider refuses or changes nothing', async () => {
    const c = counter('refusing');
    await c.execute({ type: 'add', amount: 1 });
    await c.execute({ type: 'close' });
    expect(await c.refusal({ type: 'add', amount: 1 })).toMatchObject({ refused: 'deleted', version: 2 });
    expect(await c.events()).toHaveLength(2);
  });

  it('writes no event of a command when one of them does not fit its schema', async () => {
    const c = counter('atomic');
    await c.execute({ type: 'add', amount: 1 });
    await expect(c.execute({ type: 'addEach', amounts: [5, 0.5] })).rejects.toThrow();
    expect(await c.events()).toHaveLength(1);
    expect(await c.total()).toEqual({ total: 1, isClosed: false });
    await c.execute({ type: 'add', amount: 1 });
    expect((await c.events()).map((event) => event.version)).toEqual([1, 2]);
  });
});

describe('waking up', () => {
  it('gives the same state from a snapshot and its tail as from a full replay', async () => {
    const c = counter('snapshots');
    for (let round = 0; round < 25; round++) await c.execute({ type: 'addEach', amounts: Array(10).fill(round) });
    await c.execute({ type: 'add', amount: 7 });
    const snapshots = await c.sql<{ version: number }>('SELECT version FROM snapshots ORDER BY version');
    expect(snapshots.map((row) => row.version)).toEqual([100, 200]);
    const live = await c.total();
    await evictDurableObject(c.stub);
    expect(await c.total()).toEqual(live);
    await c.sql('DELETE FROM snapshots');
    await evictDurableObject(c.stub);
    expect(await c.total()).toEqual(live);
  });

  it('does not use a snapshot of another state schema, and drops it with the next one', async () => {
    const c = counter('old-snapshot');
    await c.execute({ type: 'addEach', amounts: Array(100).fill(1) });
    await c.sql(`UPDATE snapshots SET state_schema = 0, state = '{"total":999999,"isClosed":false}'`);
    await evictDurableObject(c.stub);
    expect(await c.total()).toEqual({ total: 100, isClosed: false });
    await c.execute({ type: 'add', amount: 1 });
    expect(await c.sql('SELECT version, state_schema FROM snapshots')).toEqual([{ version: 101, state_schema: 1 }]);
  });

  it('reads events that were written in older forms', async () => {
    const c = counter('old');
    await c.execute({ type: 'add', amount: 1 });
    await runInDurableObject(c.stub, (_object, { storage }) => {
      storage.sql.exec('DELETE FROM events');
      for (const event of oldEvents) {
        storage.sql.exec('INSERT INTO events (version, event) VALUES (?, ?)', event.version, JSON.stringify(event));
      }
    });
    await evictDurableObject(c.stub);
    expect(await c.total()).toEqual({ total: 15, isClosed: false });
    await c.execute({ type: 'add', amount: 1 });
    expect((await c.events()).map(({ version, schemaVersion }) => [version, schemaVersion])).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
      [4, 3],
    ]);
  });

  it('keeps ids and times rising when the clock has gone back', async () => {
    const c = counter('clock');
    await c.execute({ type: 'add', amount: 1 });
    const future = '2999-01-01T00:00:00.000Z';
    await c.sql(
      `UPDATE events SET event = json_set(event, '$.time', '${future}', '$.id', '0ZZZZZZZZZ0000000000000000')`,
    );
    await evictDurableObject(c.stub);
    await c.execute({ type: 'add', amount: 1 });
    const [first, second] = await c.events();
    expect(second?.time).toBe(future);
    expect(second && first && second.id > first.id).toBe(true);
  });
});

describe('the past', () => {
  it('is what it was at every version, across snapshots', async () => {
    const c = counter('past');
    for (let amount = 1; amount <= 250; amount += 10) {
      await c.execute({ type: 'addEach', amounts: Array.from({ length: 10 }, (_, index) => amount + index) });
    }
    for (const version of [1, 99, 100, 101, 200, 249, 250, 9999]) {
      const last = Math.min(version, 250);
      expect(await c.total(version)).toEqual({ total: (last * (last + 1)) / 2, isClosed: false });
    }
  });

  it('can be asked for by time', async () => {
    const c = counter('times');
    await c.execute({ type: 'addEach', amounts: [1, 1, 1, 1] });
    for (let version = 1; version <= 4; version++) {
      await c.sql(
        `UPDATE events SET event = json_set(event, '$.time', '2026-01-0${version}T00:00:00.000Z') WHERE version = ${version}`,
      );
    }
    const at = (time: string) => c.stub.view(ADMINISTRATOR, { time });
    expect(await at('2025-12-31T00:00:00.000Z')).toMatchObject({ refused: 'before-creation' });
    expect(await at('2026-01-01T00:00:00.000Z')).toMatchObject({ version: 1 });
    expect(await at('2026-01-03T12:00:00.000Z')).toMatchObject({ version: 3 });
    expect(await at('2026-02-01T00:00:00.000Z')).toMatchObject({ version: 4 });
  });
});

describe('commands that come at once', () => {
  it('are applied in the order they arrived, each once', async () => {
    const c = counter('concurrent');
    const replies = await Promise.all(
      Array.from({ length: 200 }, (_, amount) => c.execute({ type: 'add', amount: amount + 1 })),
    );
    expect(replies.map((reply) => reply.version)).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    expect((await c.events()).map((event) => event.data.amount)).toEqual(
      Array.from({ length: 200 }, (_, index) => index + 1),
    );
  });

  it('fail alone', async () => {
    const c = counter('failing-alone');
    const results = await Promise.allSettled([1, 2, 0.5, 3].map((amount) => c.execute({ type: 'add', amount })));
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(await c.total()).toEqual({ total: 6, isClosed: false });
  });

  it('with the same expected version: one wins', async () => {
    const c = counter('race');
    await c.execute({ type: 'add', amount: 1 });
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => c.refusal({ type: 'add', amount: 1 }, { expectedVersions: [1] })),
    );
    expect(replies.filter((reply) => !isRefusal(reply))).toHaveLength(1);
    expect(replies.filter((reply) => isRefusal(reply) && reply.refused === 'version-mismatch')).toHaveLength(9);
  });
});

describe('a remembered answer', () => {
  const idempotency = { key: 'k', fingerprint: 'f' };

  it('is given again, also after an eviction, until it expires', async () => {
    const c = counter('answers');
    await c.execute({ type: 'add', amount: 1 });
    const first = await c.execute({ type: 'add', amount: 2 }, { idempotency });
    await c.execute({ type: 'add', amount: 3 });
    await evictDurableObject(c.stub);
    expect(await c.execute({ type: 'add', amount: 2 }, { idempotency })).toEqual({
      ...first,
      changed: false,
      replayed: true,
    });
    await c.sql('UPDATE answers SET expires_at = 1');
    await runDurableObjectAlarm(c.stub);
    expect(await c.sql('SELECT count(*) AS n FROM answers')).toEqual([{ n: 0 }]);
    expect(await c.execute({ type: 'add', amount: 2 }, { idempotency })).toMatchObject({ version: 4, replayed: false });
  });

  it('of the command that created the stream never expires', async () => {
    const c = counter('creation-answer');
    await c.execute({ type: 'add', amount: 1 }, { idempotency });
    const [row] = await c.sql<{ expires_at: number }>('SELECT expires_at FROM answers');
    expect(row?.expires_at).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe('the outbox', () => {
  it('hands every event to the sink once and in order', async () => {
    const c = counter('sink');
    await Promise.all(Array.from({ length: 50 }, () => c.execute({ type: 'add', amount: 1 })));
    expect(await c.stub.flushOutbox()).toBe(true);
    expect(RecordingSink.received.get(c.stream)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    expect(await c.stub.outboxCursors()).toEqual({ recording: { confirmed: 50, attempts: 0, lastError: null } });
  });

  it('loses nothing while the sink is down, and does not fail the change', async () => {
    const c = counter('sink-down');
    RecordingSink.failing.add(c.stream);
    await c.execute({ type: 'add', amount: 1 });
    expect(await c.stub.flushOutbox()).toBe(false);
    expect((await c.stub.outboxCursors()).recording).toMatchObject({ confirmed: 0, lastError: 'the sink is down' });
    await runDurableObjectAlarm(c.stub);
    RecordingSink.failing.delete(c.stream);
    await c.execute({ type: 'add', amount: 1 });
    expect(await c.stub.flushOutbox()).toBe(true);
    expect(RecordingSink.received.get(c.stream)).toEqual([1, 2]);
  });

  it('has an alarm behind every change, and goes on after an eviction from the stored cursor', async () => {
    const c = counter('sink-alarm');
    await c.execute({ type: 'add', amount: 1 });
    const alarm = await runInDurableObject(c.stub, (_object, { storage }) => storage.getAlarm());
    expect(alarm).not.toBeNull();
    await runDurableObjectAlarm(c.stub);
    await evictDurableObject(c.stub);
    await c.execute({ type: 'add', amount: 1 });
    await c.stub.flushOutbox();
    expect(RecordingSink.received.get(c.stream)).toEqual([1, 2]);
  });

  it('delivers again what was delivered when the cursor was lost', async () => {
    const c = counter('sink-again');
    await c.execute({ type: 'add', amount: 1 });
    await c.stub.flushOutbox();
    await c.sql('DELETE FROM cursors');
    await evictDurableObject(c.stub);
    await runDurableObjectAlarm(c.stub);
    expect(RecordingSink.received.get(c.stream)).toEqual([1, 1]);
  });
});

describe('an object that was never written', () => {
  it('answers "not found" and makes no table', async () => {
    const c = counter('nothing');
    expect(await c.stub.view(ADMINISTRATOR)).toMatchObject({ refused: 'not-found' });
    expect(await c.stub.history(ADMINISTRATOR, 0, 10)).toMatchObject({ refused: 'not-found' });
    expect(await c.stub.historyStream(ADMINISTRATOR, 0)).toMatchObject({ refused: 'not-found' });
    expect(await c.stub.issueTicket(ADMINISTRATOR)).toMatchObject({ refused: 'not-found' });
    expect(await c.stub.redeemTicket('tkt_1')).toBeNull();
    expect(await c.sql("SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf_%'")).toEqual([]);
  });
});
