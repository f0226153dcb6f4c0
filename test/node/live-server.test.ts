import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Client, connect, ProblemError } from '../../client/client.ts';
import { deafSubscriber, readAtLast } from '../support/deaf-subscriber.ts';
import { freePort, type Server, startServer, stopServer, temporaryFolder, waitFor } from '../support/server.ts';

const KEY = 'cck_live-server';
const folder = temporaryFolder('live-server');
let port: number;
let server: Server;
let api: Client;

beforeAll(async () => {
  port = await freePort();
  server = await startServer({ port, dataFolder: folder.path, apiKey: KEY });
  api = connect({ baseUrl: server.url, apiKey: KEY });
});

afterAll(async () => {
  await stopServer(server, 'SIGKILL');
  folder.remove();
});

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1);

/** Makes a change as often as it takes, under one Idempotency-Key: while the server is down, nothing answers. */
async function insist(id: string, name: string): Promise<void> {
  for (;;) {
    try {
      await api.patch(id, { name }, { idempotencyKey: name });
      return;
    } catch (error) {
      if (error instanceof ProblemError && !error.isTemporary) throw error;
      await wait(20);
    }
  }
}

describe('the client', () => {
  it('creates, reads, changes, deletes and restores, and replays the history', async () => {
    const created = await api.create({ name: 'A', tools: ['linear'] }, { idempotencyKey: 'once' });
    expect(await api.create({ name: 'A', tools: ['linear'] }, { idempotencyKey: 'once' })).toEqual(created);
    const { id } = created;
    // What happens to it by itself would come between, and perhaps in the millisecond of a change.
    await waitFor('the context to have its place', async () => (await api.read(id)).provisioning.status === 'complete');
    const { version: settled } = await api.read(id);
    const changed = await api.patch(id, { name: 'B', metadata: { priority: 2 } }, { ifMatch: settled });
    expect(changed).toMatchObject({ id, name: 'B', metadata: { priority: 2 } });
    const stale = await api.patch(id, { name: 'C' }, { ifMatch: settled }).catch((error: unknown) => error);
    expect(stale).toBeInstanceOf(ProblemError);
    expect(stale).toMatchObject({ status: 412, problem: { title: 'The version has changed' } });
    if (stale instanceof ProblemError) expect(stale.version).toBe(changed.version);
    expect(await api.read(id, { at: 1 })).toEqual(created);
    expect(await api.read(id, { at: changed.updatedAt })).toEqual(changed);
    const deletion = await api.delete(id, { ifMatch: changed.version });
    await expect(api.read(id)).rejects.toMatchObject({ status: 410, problem: { tombstone: { id } } });
    expect(await api.restore(id)).toMatchObject({ name: 'B', status: 'active' });
    const versions: number[] = [];
    const types: string[] = [];
    for await (const { version, type } of api.history(id)) {
      versions.push(version);
      types.push(type);
    }
    expect(versions).toEqual(upTo(versions.length));
    expect(types[deletion - 1]).toBe('context_deleted');
    // Others may stand between them: what the service does with a context on its own account is in its history too.
    const ours = ['context_created', 'context_updated', 'context_deleted', 'context_restored'];
    expect(types.filter((type) => ours.includes(type))).toEqual(ours);
  });

  it('compares, brings back and follows what a context was', async () => {
    const { id } = await api.create({ name: 'One', tools: ['linear'], metadata: { priority: 0 } });
    const second = await api.patch(id, { name: 'Two', tools: null });
    for (let priority = 1; priority <= 120; priority++) await api.patch(id, { metadata: { priority } });
    expect(await api.diff(id, 1, second.version)).toContainEqual({ op: 'replace', path: '/name', value: 'Two' });
    expect(await api.diff(id, second.updatedAt)).toContainEqual({
      op: 'replace',
      path: '/metadata/priority',
      value: 120,
    });
    const priorities: unknown[] = [];
    for await (const { to } of api.fieldHistory(id, '/metadata/priority')) priorities.push(to);
    expect(priorities).toEqual([0, ...upTo(120)]);
    const names: unknown[] = [];
    for await (const { from, to } of api.fieldHistory(id, '/name', { at: second.version })) names.push([from, to]);
    expect(names).toEqual([
      [undefined, 'One'],
      ['One', 'Two'],
    ]);
    const reverted = await api.revert(id, 1, { fields: ['name'], onConflict: 'refuse', idempotencyKey: 'back' });
    expect(reverted).toMatchObject({ name: 'One', tools: [], metadata: { priority: 120 } });
    expect(await api.revert(id, second.updatedAt)).toMatchObject({ name: 'Two', tools: [], metadata: { priority: 0 } });
    await expect(api.revert(id, 1, { ifMatch: 1 })).rejects.toMatchObject({ status: 412 });
    const versions: number[] = [];
    for await (const { version } of api.history(id, { at: second.version })) versions.push(version);
    expect(versions).toEqual(upTo(second.version));
  });

  it('throws the problem with its pointers', async () => {
    const wrong = await api.create({ name: ' ' }).catch((error: unknown) => error);
    expect(wrong).toMatchObject({ status: 400, problem: { errors: [{ pointer: '/name' }] } });
    const stranger = connect({ baseUrl: server.url, apiKey: 'cck_wrong' });
    await expect(stranger.read('ctx_1')).rejects.toMatchObject({ status: 401 });
    await expect(stranger.watch('ctx_1').next()).rejects.toMatchObject({ name: 'LiveError', code: 4401 });
    await expect(api.watch('ctx_1').next()).rejects.toMatchObject({ name: 'LiveError', code: 4404 });
    const { id } = await api.create({ name: 'Short' });
    await expect(api.watch(id, { after: 5_000 }).next()).rejects.toMatchObject({ name: 'LiveError', code: 400 });
  });

  it('watches with a ticket from a server of the page’s own, until the deletion', async () => {
    const { id } = await api.create({ name: 'Ticketed' });
    const getTicket = async () => {
      const url = `${server.url}/v1/contexts/${id}/tickets`;
      const response = await fetch(url, { method: 'POST', headers: { 'X-API-Key': KEY } });
      const { ticket }: { ticket: string } = await response.json();
      return ticket;
    };
    const seen: string[] = [];
    const page = connect({ baseUrl: server.url, getTicket });
    for await (const message of page.watch(id, { after: 0 })) {
      if (message.type === 'hello') await api.delete(id);
      else seen.push(message.event.type);
    }
    expect([seen.at(0), seen.at(-1)]).toEqual(['context_created', 'context_deleted']);
  });

  it('sees every event once and in order while the server is killed and started again under a writer', async () => {
    const { id } = await api.create({ name: 'Start' });
    const seen: number[] = [];
    const names: string[] = [];
    const watching = (async () => {
      for await (const message of api.watch(id, { after: 0, retryBaseMs: 20, retryCapMs: 200 })) {
        if (message.type !== 'event') continue;
        seen.push(message.event.version);
        if (message.event.type === 'context_updated') names.push(message.event.data.name ?? '');
      }
    })();
    let isDone = false;
    const writing = (async () => {
      const written: string[] = [];
      while (!isDone) {
        const name = `Name ${written.length}`;
        await insist(id, name);
        written.push(name);
      }
      return written;
    })();
    for (let kills = 1; kills <= 3; kills++) {
      const before = seen.length;
      while (seen.length < before + 50) await wait(1);
      await stopServer(server, 'SIGKILL');
      server = await startServer({ port, dataFolder: folder.path, apiKey: KEY });
    }
    isDone = true;
    const written = await writing;
    const last = await api.delete(id);
    // It returns because the context is deleted.
    await watching;
    expect(names).toEqual(written);
    expect(seen).toEqual(upTo(last));
  });

  it('takes a history that is longer than the window at its own pace, and misses nothing', async () => {
    const { id } = await api.create({ name: 'Long' });
    let last = 1;
    for (let number = 1; number <= 60; number++) last = (await api.patch(id, big(number))).version;
    const seen: number[] = [];
    for await (const message of api.watch(id, { after: 0 })) {
      if (message.type === 'event') seen.push(message.event.version);
      // Now and then it is slow: what is sent meanwhile waits for it.
      if (seen.length % 20 === 0) await wait(20);
      if (seen.at(-1) === last) break;
    }
    expect(seen).toEqual(upTo(last));
  });
});

/** A patch of about 60,000 characters. */
const big = (number: number) => ({ metadata: { filling: `${number} `.padEnd(60_000, 'm') } });

/** Sockets that read nothing. */
const DEAF = 40;
/** Changes of 60,000 characters: nine times what a subscriber may leave unconfirmed. */
const CHANGES = 150;
/** What a subscriber may leave unconfirmed, in bytes: these events are ASCII. */
const WINDOW = 1024 * 1024;

describe('subscribers that stop reading', () => {
  it('keep nothing from a good one, and no more than their window waits for them', async () => {
    const { id } = await api.create({ name: 'Deaf ears' });
    const { version: start } = await api.read(id);
    const sockets = await Promise.all(
      upTo(DEAF).map(() => deafSubscriber(`${server.url}/v1/contexts/${id}/live`, KEY)),
    );
    const good: number[] = [];
    const abort = new AbortController();
    const watching = (async () => {
      for await (const message of api.watch(id, { after: start, signal: abort.signal })) {
        if (message.type === 'event') good.push(message.event.version);
      }
    })().catch(() => undefined);
    for (const change of upTo(CHANGES)) await api.patch(id, big(change));
    const { version: end } = await api.read(id);
    await waitFor('the good subscriber to have it all', () => good.at(-1) === end);
    abort.abort();
    await watching;
    expect(good).toEqual(upTo(end - start).map((number) => start + number));
    const waiting = await Promise.all(sockets.map(readAtLast));
    for (const socket of sockets) socket.destroy();
    // The window, and the event that fills it.
    expect(Math.max(...waiting)).toBeLessThan(WINDOW + 100_000);
    expect(Math.min(...waiting)).toBeGreaterThan(60_000);
  });
});
