import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { CONTEXT_PREFIX } from '../../events/context.ts';
import { newId } from '../../events/id.ts';
import { api, createContext } from '../support/api.ts';
import { change, handshake, objectOf, upTo, watch } from '../support/live.ts';

const WRONG = { Authorization: 'Bearer wrong' };

/** A well-formed id of a context that was never made. */
const unknownId = () => newId(CONTEXT_PREFIX, Date.now());

describe('a WebSocket is closed', () => {
  it('with 4401 when the credential is missing or wrong, in words that say what to send', async () => {
    const { id } = await createContext();
    const watcher = await watch(id, '', WRONG);
    expect(await watcher.untilClosed()).toEqual({ code: 4401, reason: expect.stringContaining('API key') });
    expect(watcher.frames).toEqual([]);
  });

  it('with 4401 before anything is said about whether the context exists', async () => {
    expect(await (await watch(unknownId(), '', WRONG)).untilClosed()).toMatchObject({ code: 4401 });
    expect(await (await watch('ctx_none', '', WRONG)).untilClosed()).toMatchObject({ code: 4401 });
  });

  it.each([
    ['an id that cannot be one', 'ctx_none'],
    ['an id that nothing was made under', unknownId()],
  ])('with 4404 for %s', async (_what, id) => {
    const watcher = await watch(id);
    expect(await watcher.untilClosed()).toMatchObject({ code: 4404 });
    expect(watcher.frames).toEqual([]);
  });

  it('with 4404 also when `after` is given', async () => {
    expect(await (await watch(unknownId(), '?after=3')).untilClosed()).toMatchObject({ code: 4404 });
  });

  it.each([
    ['a word', 'hello'],
    ['nothing', ''],
    ['JSON of another type', '{"type":"event","sent":1}'],
    ['a confirmation without a number', '{"type":"sync"}'],
    ['a confirmation with half a character', '{"type":"sync","sent":1.5}'],
    ['a confirmation with a number beyond all numbers', '{"type":"sync","sent":1e999}'],
    ['a confirmation with a number in quotes', '{"type":"sync","sent":"1"}'],
    ['JSON that is no object', 'null'],
    ['a "PING" in capitals', 'PING'],
    ['binary bytes, even of a ping', new TextEncoder().encode('ping')],
    ['a confirmation with a megabyte behind it', `{"type":"sync","sent":1,"more":"${'x'.repeat(1024 * 1024)}"}`],
    ['a megabyte of brackets', '['.repeat(1024 * 1024)],
  ])('with 1008 when it is sent %s, and the others stay', async (_what, message) => {
    const { id } = await createContext();
    const [guilty, other] = await Promise.all([watch(id), watch(id)]);
    await guilty.until('hello');
    guilty.socket.send(message);
    expect(await guilty.untilClosed()).toEqual({ code: 1008, reason: expect.stringContaining('ping') });
    await change(id, { name: 'Next' });
    await other.untilVersion(2);
    expect(guilty.versions).toEqual([]);
  });
});

/** Asks for a ticket. */
async function ticketFor(id: string): Promise<{ ticket: string; expiresAt: string }> {
  const response = await api(`/v1/contexts/${id}/tickets`, { method: 'POST' });
  expect(response.status).toBe(201);
  return response.json();
}

/** Watches with a ticket and without any header. */
const watchWith = (id: string, ticket: string) => {
  return watch(id, `?after=0&ticket=${ticket}`, { Authorization: '' });
};

describe('a ticket', () => {
  it('opens one WebSocket without any header', async () => {
    const { id } = await createContext();
    const { ticket, expiresAt } = await ticketFor(id);
    expect(Date.parse(expiresAt) - Date.now()).toBeLessThanOrEqual(30_000);
    const watcher = await watchWith(id, ticket);
    await watcher.untilVersion(1);
    expect(watcher.closed).toBeNull();
  });

  it('is good for one connection only, also when two come at once', async () => {
    const { id } = await createContext();
    const { ticket } = await ticketFor(id);
    const watchers = await Promise.all(upTo(5).map(() => watchWith(id, ticket)));
    const outcomes = await Promise.all(
      watchers.map((watcher) =>
        Promise.race([watcher.until('hello').then(() => 'open'), watcher.untilClosed().then(({ code }) => code)]),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === 'open')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === 4401)).toHaveLength(4);
  });

  it('is not good any more once it has expired', async () => {
    const { id } = await createContext();
    const { ticket } = await ticketFor(id);
    await runInDurableObject(objectOf(id), (_object, { storage }) => {
      storage.sql.exec('UPDATE watch_tickets SET expires_at = ?', Date.now());
    });
    expect(await (await watchWith(id, ticket)).untilClosed()).toMatchObject({ code: 4401 });
  });

  it('is not good for another context, and stays good for its own', async () => {
    const [mine, other] = [await createContext(), await createContext()];
    const { ticket } = await ticketFor(mine.id);
    expect(await (await watchWith(other.id, ticket)).untilClosed()).toMatchObject({ code: 4401 });
    await (await watchWith(mine.id, ticket)).untilVersion(1);
  });

  it('that was made up is 4401, whether or not the context exists', async () => {
    const { id } = await createContext();
    const madeUp = `tkt_${'0'.repeat(48)}`;
    expect(await (await watchWith(id, madeUp)).untilClosed()).toMatchObject({ code: 4401 });
    expect(await (await watchWith(unknownId(), madeUp)).untilClosed()).toMatchObject({ code: 4401 });
    expect(await (await watchWith('ctx_none', madeUp)).untilClosed()).toMatchObject({ code: 4401 });
  });

  it('is no credential for anything else', async () => {
    const { id } = await createContext();
    const { ticket } = await ticketFor(id);
    const headers = { Authorization: `Bearer ${ticket}` };
    expect((await api(`/v1/contexts/${id}`, { headers })).status).toBe(401);
    expect((await handshake(id, '', headers)).status).toBe(101);
    expect(await (await watch(id, '', headers)).untilClosed()).toMatchObject({ code: 4401 });
  });

  it('is kept only as a hash', async () => {
    const { id } = await createContext();
    const { ticket } = await ticketFor(id);
    await runInDurableObject(objectOf(id), (_object, { storage }) => {
      const rows = storage.sql.exec('SELECT * FROM watch_tickets').toArray();
      expect(rows).toHaveLength(1);
      expect(JSON.stringify(rows)).not.toContain(ticket.slice('tkt_'.length));
    });
  });

  it('is issued for contexts that exist, to those who are known', async () => {
    expect((await api(`/v1/contexts/${unknownId()}/tickets`, { method: 'POST' })).status).toBe(404);
    expect((await api('/v1/contexts/ctx_none/tickets', { method: 'POST' })).status).toBe(404);
    const { id } = await createContext();
    expect((await api(`/v1/contexts/${id}/tickets`, { method: 'POST', headers: WRONG })).status).toBe(401);
  });

  it('for a deleted context gives its history and 4410', async () => {
    const { id } = await createContext();
    await api(`/v1/contexts/${id}`, { method: 'DELETE' });
    const { ticket } = await ticketFor(id);
    const watcher = await watchWith(id, ticket);
    expect(await watcher.untilClosed()).toMatchObject({ code: 4410 });
    expect(watcher.versions).toEqual([1, 2]);
  });
});

describe('asking an object that was never written', () => {
  it('for a WebSocket with a ticket makes no table', async () => {
    const id = unknownId();
    await watchWith(id, 'tkt_0');
    await runInDurableObject(env.CONTEXTS.get(env.CONTEXTS.idFromName(id)), (_object, { storage }) => {
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf_%'").toArray()).toEqual([]);
    });
  });
});
