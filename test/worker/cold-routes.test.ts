import { evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { api, createContext } from '../support/api.ts';
import { handshake, watch } from '../support/live.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { expectProblem, objectOf, offset } from '../support/rest.ts';

const CAUSE = { correlationId: 'r', causationId: null, commandId: 'c' };

/** A context with so many events, delivered everywhere. */
async function contextOf(events: number): Promise<string> {
  const { id } = await createContext();
  const object = objectOf(id);
  for (let from = 2; from <= events; from += 100) {
    const versions = Array.from({ length: Math.min(100, events - from + 1) }, (_, n) => from + n);
    const update = (version: number) => ({ type: 'update' as const, data: { name: `Name ${version}` } });
    await Promise.all(
      versions.map((version) =>
        object.execute({ id, command: update(version), principal: ADMINISTRATOR, cause: CAUSE }),
      ),
    );
  }
  await object.flushOutbox();
  // The log of logs takes its time.
  await expect.poll(() => object.flushOutbox(), { timeout: 30_000, interval: 500 }).toBe(true);
  return id;
}

const archive = (id: string) => api(`/v1/admin/streams/context/${id}/archive`, { method: 'POST' });
const cold = async () => (await api('/v1/admin/cold-history')).json<Record<string, unknown>>();
const filesOf = async (id: string) => (await env.COLD_HISTORY?.list({ prefix: `context/${id}/` }))?.objects ?? [];

describe('POST /v1/admin/streams/{stream}/archive', () => {
  it('moves what can be moved, says how much it was, and readers notice nothing', async () => {
    const id = await contextOf(1_300);
    const paths = [
      `/v1/contexts/${id}?at=700`,
      `/v1/contexts/${id}/rules?at=300`,
      `/v1/contexts/${id}/proposals?at=1100`,
      `/v1/contexts/${id}/diff?from=100&to=1290`,
      `/v1/contexts/${id}/events?offset=-1&limit=1000`,
      `/v1/contexts/${id}/proof?version=300&size=900`,
      `/v1/contexts/${id}/proof?from=300&to=1300`,
      `/v1/contexts/${id}/history?pointer=/name&limit=100`,
    ];
    const read = async () => Promise.all(paths.map(async (path) => (await api(path)).text()));
    const exported = async () =>
      (await api(`/v1/contexts/${id}/events`, { headers: { Accept: 'application/x-ndjson' } })).text();
    const before = [await read(), await exported()];
    const response = await archive(id);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ segments: 2, events: 1_280, isComplete: true });
    expect((await filesOf(id)).map(({ key }) => key.slice(0, `context/${id}/`.length + 33))).toEqual([
      `context/${id}/0000000000000001-0000000000001024`,
      `context/${id}/0000000000001025-0000000000001280`,
    ]);
    expect([await read(), await exported()]).toEqual(before);
    await evictDurableObject(objectOf(id));
    expect([await read(), await exported()]).toEqual(before);
    expect(await (await archive(id)).json()).toEqual({ segments: 0, events: 0, bytes: 0, isComplete: true });
  }, 60_000);

  it('moves the history of a deleted context as well, which goes on being read and proved', async () => {
    const id = await contextOf(700);
    expect((await api(`/v1/contexts/${id}`, { method: 'DELETE' })).status).toBe(204);
    await expect.poll(() => objectOf(id).flushOutbox(), { timeout: 30_000, interval: 500 }).toBe(true);
    const paths = [
      `/v1/contexts/${id}/events?offset=${offset(id, 400)}&limit=1000`,
      `/v1/contexts/${id}/events?offset=-1`,
      `/v1/contexts/${id}/proof?version=3&size=701`,
      `/v1/contexts/${id}/proof?from=300&to=701`,
      `/v1/contexts/${id}?at=300`,
    ];
    const read = () =>
      Promise.all(
        paths.map(async (path) => {
          const response = await api(path);
          return [response.status, response.headers.get('Stream-Closed'), await response.text()];
        }),
      );
    const before = await read();
    expect(before.map(([status]) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(before[0]?.[1]).toBe('true');
    expect(await (await archive(id)).json()).toMatchObject({ segments: 1, isComplete: true });
    await evictDurableObject(objectOf(id));
    expect(await read()).toEqual(before);
    await expectProblem(await api(`/v1/contexts/${id}`, { method: 'PATCH', json: { name: 'x' } }), 409, 'deleted');
  }, 60_000);

  it('undoes a change whose field was last changed in a part that is cold, and stands in the trail', async () => {
    const id = await contextOf(300);
    await archive(id);
    const reverted = await api(`/v1/contexts/${id}/revert`, { method: 'POST', json: { to: 100 } });
    expect(reverted.status, await reverted.clone().text()).toBe(200);
    expect(await reverted.json()).toMatchObject({ name: 'Name 100', version: 301 });
    await expect
      .poll(async () => (await api(`/v1/audit?context=${id}`)).text(), { timeout: 30_000, interval: 500 })
      .toContain('archiveStream');
  }, 60_000);

  it('sends a live subscriber what is cold, then what is not, then what comes', async () => {
    const id = await contextOf(700);
    await archive(id);
    await evictDurableObject(objectOf(id));
    const watcher = await watch(id, '?after=3');
    watcher.confirm();
    await watcher.untilVersion(700);
    await api(`/v1/contexts/${id}`, { method: 'PATCH', json: { name: 'Now' } });
    await watcher.untilVersion(701);
    expect(watcher.versions).toEqual(Array.from({ length: 698 }, (_, n) => n + 4));
    watcher.socket.close();
  }, 60_000);

  it('is for streams that there are', async () => {
    await expectProblem(await archive('ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'), 404, 'not-found');
    await expectProblem(await api('/v1/admin/streams/context/x/archive', { method: 'POST' }), 404, 'not-found');
    await expectProblem(await api('/v1/admin/streams/x/y/archive', { method: 'POST' }), 404, 'not-found');
  });
});

describe('a context with a segment that is gone', () => {
  it('says which events cannot be read, also where everything is read, and is in the list and the metrics', async () => {
    const id = await contextOf(600);
    await archive(id);
    for (const { key } of await filesOf(id)) await env.COLD_HISTORY?.delete(key);
    const body = { stream: `context/${id}`, first: 1, last: 512 };
    const paths = [
      `/v1/contexts/${id}?at=7`,
      `/v1/contexts/${id}/events?offset=-1`,
      `/v1/contexts/${id}/diff?from=7&to=9`,
      `/v1/contexts/${id}/proof?version=7`,
      `/v1/contexts/${id}/history?pointer=/name`,
      `/v1/contexts/${id}/bundle?wait=0`,
    ];
    for (const path of paths) {
      const response = await api(path);
      expect(await response.clone().json(), path).toMatchObject(body);
      await expectProblem(response, 500, 'history-damaged');
    }
    const lines = await api(`/v1/contexts/${id}/events`, { headers: { Accept: 'application/x-ndjson' } });
    await expectProblem(lines, 500, 'history-damaged');
    expect((await api(`/v1/contexts/${id}`)).status).toBe(200);
    await expectProblem(await handshake(id, '?after=3'), 500, 'history-damaged');
    expect((await cold()).damaged).toContainEqual({ ...body, reason: expect.stringContaining('is missing') });
    const metrics = await (await api('/metrics')).text();
    expect(metrics).toMatch(/^chittyconnect_cold_damaged_streams [1-9]/m);
  }, 60_000);

  it('closes a live subscriber that comes to it with 1011, and skips nothing', async () => {
    const id = await contextOf(1_300);
    await archive(id);
    const [, second] = await filesOf(id);
    await env.COLD_HISTORY?.delete(second?.key ?? '');
    await evictDurableObject(objectOf(id));
    const watcher = await watch(id, '?after=3');
    watcher.confirm();
    expect(await watcher.untilClosed()).toEqual({ code: 1011, reason: 'versions 1025 to 1280 cannot be read' });
    expect(watcher.versions).toEqual(Array.from({ length: watcher.versions.length }, (_, n) => n + 4));
    expect(watcher.versions.at(-1)).toBeLessThanOrEqual(1_024);
    const present = await watch(id);
    await api(`/v1/contexts/${id}`, { method: 'PATCH', json: { name: 'Now' } });
    await present.untilVersion(1_301);
    present.socket.close();
  }, 60_000);
});
