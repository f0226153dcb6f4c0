import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { messageSchema } from '../../src/delivery/cloud-event.ts';
import { endConnectionsOf } from '../../src/delivery/connection-ends.ts';
import { queueSink } from '../../src/delivery/sinks.ts';
import { expectJson } from '../support/actors.ts';
import { type ConnectionJson, connectContexts } from '../support/connections.ts';
import { consume, FakeChittyOs, FakeContexts, FakeQueue, surrounded } from '../support/delivery.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

/** What the object of a connection sends to ChittyOS, as one message. */
async function messageOf(path: string): Promise<unknown> {
  const object = env.CONNECTIONS.get(env.CONNECTIONS.idFromName(idOf(path)));
  const queue = new FakeQueue();
  const events = await runInDurableObject(object, (_instance, { storage }) =>
    storage.sql
      .exec<{ version: number; event: string }>('SELECT version, event FROM events ORDER BY version')
      .toArray()
      .map(({ version, event }) => ({ version, text: event })),
  );
  await queueSink(surrounded({ CONTEXT_OPS_QUEUE: queue }).CONTEXT_OPS_QUEUE).deliver({
    stream: `connection/${idOf(path)}`,
    state: { status: 'active' },
    version: events.length,
    destinations: ['chronicle'],
    generation: 0,
    eventsBefore: () => [],
    events: () => events,
  });
  return queue.sent[0];
}

async function ended(by: Person): Promise<{ path: string; ends: { from: string; to: string } }> {
  const [one, two] = await Promise.all([contextOf(by), contextOf(by)]);
  const path = await connectContexts(by, one, two);
  await by.remove(path);
  return { path, ends: { from: idOf(one), to: idOf(two) } };
}

describe('ChittyChronicle', () => {
  it('gets a connection’s events as entries, and its beginning and its end as relationships', async () => {
    const ann = await person('Ann');
    const { path, ends } = await ended(ann);
    const services = new FakeChittyOs();
    const [connections, contexts] = [new FakeContexts(), new FakeContexts()];
    const bindings = surrounded({
      CHITTYOS: services,
      CHITTYOS_TOKEN: 'token',
      CONTEXTS: contexts,
      CONNECTIONS: connections,
    });
    const message = messageSchema.parse(await messageOf(path));
    expect(message.map(({ source, subject }) => [source, subject])).toEqual(Array(3).fill([path, idOf(path)]));
    expect(await consume(bindings, { m1: message })).toEqual({ acked: ['m1'], retried: [] });
    expect(services.entries.map(({ entityId, eventType }) => [entityId, eventType])).toEqual([
      [idOf(path), 'connection_requested'],
      [idOf(path), 'connection_established'],
      [idOf(path), 'connection_disconnected'],
    ]);
    const more = { data: { connection: idOf(path), direction: 'directed' }, timestamp: expect.any(String) };
    expect(services.relationships).toEqual([
      { ...ends, type: 'depends_on', ...more },
      { ...ends, type: 'no_longer_depends_on', ...more },
    ]);
    expect(connections.reports).toEqual([{ subject: idOf(path), reports: { chronicle: { first: 1, last: 3 } } }]);
    expect(contexts.reports).toEqual([]);
  });

  it('is told of no relationship that was only asked for', async () => {
    const [ann, bob] = await Promise.all([person('Ann'), person('Bob')]);
    const [mine, theirs] = await Promise.all([contextOf(ann), contextOf(bob)]);
    await share(bob, theirs, ann, 'viewer');
    const path = await connectContexts(ann, mine, theirs);
    await ann.remove(path);
    const services = new FakeChittyOs();
    const bindings = surrounded({ CHITTYOS: services, CHITTYOS_TOKEN: 't', CONNECTIONS: new FakeContexts() });
    await consume(bindings, { m1: await messageOf(path) });
    expect(services.entries.map(({ eventType }) => eventType)).toEqual([
      'connection_requested',
      'connection_withdrawn',
    ]);
    expect(services.relationships).toEqual([]);
  });
});

describe('a deleted context', () => {
  it('that has more connections than one delivery ends is told of them again until all have ended', async () => {
    const ended: string[] = [];
    const object = (id: string) => ({ execute: async () => void ended.push(id) });
    const CONNECTIONS = { idFromName: (id: string) => id, get: object };
    const insert = env.DB.prepare(
      `INSERT INTO connections (id, version, from_id, to_id, type, status, created_at, body)
       SELECT printf('con_many_%04d', value), 1, 'ctx_many', 'ctx_other', 'uses', 'active', '', '{}'
       FROM json_each(?)`,
    );
    const numbers = Array.from({ length: 510 }, (_, index) => index);
    await insert.bind(JSON.stringify(numbers)).run();
    const bindings = surrounded({ CONNECTIONS });
    await expect(endConnectionsOf(bindings, 'ctx_many')).rejects.toThrow('more connections');
    expect(new Set(ended).size).toBe(500);
    const ids = JSON.stringify(ended);
    await env.DB.prepare("UPDATE connections SET status = 'disconnected' WHERE id IN (SELECT value FROM json_each(?))")
      .bind(ids)
      .run();
    await endConnectionsOf(bindings, 'ctx_many');
    expect(new Set(ended).size).toBe(510);
  });

  it('says so when one of them cannot be ended, and ends it when it can', async () => {
    const ann = await person('Ann');
    const [one, two] = await Promise.all([contextOf(ann), contextOf(ann)]);
    const path = await connectContexts(ann, one, two);
    const CONNECTIONS = {
      idFromName: (id: string) => id,
      get: () => ({
        execute: async () => {
          throw new Error('the object cannot be reached');
        },
      }),
    };
    await expect(endConnectionsOf(surrounded({ CONNECTIONS }), idOf(one))).rejects.toThrow('cannot be reached');
    await ann.remove(one);
    await vi.waitFor(async () => {
      expect(await expectJson<ConnectionJson>(await ann.call(path), 200)).toMatchObject({ status: 'disconnected' });
    });
  });
});
