import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkNumber } from '../../events/chitty-id.ts';
import { projectChittyId } from '../../projections/chitty-ids.ts';
import { as, issueKey, keyHolder, registerActor } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { entriesOf, traced } from '../support/audit.ts';
import { awayFromMidnight } from '../support/clock.ts';
import { deliverAll } from '../support/delivered.ts';
import { contextOf, idOf, person } from '../support/sharing.ts';

// What is said once a minute is said anew with each day.
beforeAll(awayFromMidnight, 90_000);

let minted = 0;

/** A ChittyID that nothing else has. */
function newChittyId(): string {
  minted += 1;
  const fields = `03-1-USA-${String(minted).padStart(4, '0')}-P-2602-0`;
  return `${fields}-${checkNumber(fields)}`;
}

/** Gives a context a ChittyID. */
async function namedContext(path: string): Promise<string> {
  const chittyId = newChittyId();
  await projectChittyId(env.DB, chittyId, idOf(path));
  return chittyId;
}

/** Gives an actor a ChittyID, when their row is there as it stays: the next one of their state would take it away. */
async function namedActor(id: string): Promise<string> {
  const chittyId = newChittyId();
  await deliverAll(env.ACTORS.get(env.ACTORS.idFromName(id)), 'd1');
  const update = env.DB.prepare('UPDATE actors SET chitty_id = ? WHERE id = ?').bind(chittyId, id);
  expect((await update.run()).meta.changes).toBe(1);
  return chittyId;
}

/** Somebody who may look at everything, with a key of their own. */
async function overseer(): Promise<string> {
  const { id } = await registerActor();
  await api(`/v1/actors/${id}/capabilities/administrator`, { method: 'PUT' });
  const scopes = ['admin', 'audit:read', 'actors:read', 'connections:read', 'webhooks:read'];
  return (await issueKey(id, { scopes })).key;
}

describe('what is addressed by its ChittyID is in the trail by its own id', () => {
  it('when it is refused', async () => {
    const [ada, eve] = [await person('Ada'), await person('Eve')];
    const path = await contextOf(ada);
    const chittyId = await namedContext(path);
    for (const [refused, status] of [
      [`/v1/contexts/${chittyId}`, 404],
      [`/v1/contexts/${chittyId}/events`, 404],
      [`/v1/audit?context=${chittyId}`, 404],
      [`/v1/audit?context=${idOf(path)}`, 404],
    ] as const) {
      const sent = await traced((headers) => eve.call(refused, { headers }));
      expect([refused, sent.status]).toEqual([refused, status]);
      const [entry] = await entriesOf(sent.id);
      expect([refused, entry?.stream]).toEqual([refused, `context/${idOf(path)}`]);
    }
    const reader = await person('Reader', { scopes: ['actors:read'] });
    const unread = await traced((headers) => reader.call(`/v1/events?context=${chittyId}`, { headers }));
    expect((await entriesOf(unread.id))[0]).toMatchObject({ status: 403, stream: `context/${idOf(path)}` });
    const { id } = await registerActor();
    const ofActor = await namedActor(id);
    const changed = await traced((headers) => eve.call(`/v1/actors/${ofActor}/suspend`, { method: 'POST', headers }));
    expect((await entriesOf(changed.id))[0]).toMatchObject({ status: 403, stream: `actor/${id}` });
  });

  it('when it is read: the keys of two actors are two entries, one for each', async () => {
    const key = await overseer();
    for (const { id } of [await keyHolder(), await keyHolder()]) {
      const path = `/v1/actors/${await namedActor(id)}/keys`;
      const read = await traced((headers) => as(key, path, { headers }));
      expect(read.status).toBe(200);
      expect((await entriesOf(read.id))[0]).toMatchObject({ reason: 'credentials', stream: `actor/${id}` });
    }
  });
});

describe('what a query names is in the trail', () => {
  it('and what names another is another entry', async () => {
    const key = await overseer();
    const [ada, ben] = [await person('Ada'), await person('Ben')];
    const [adas, bens] = [await contextOf(ada), await contextOf(ben)];
    for (const [path, reason, stream] of [
      [`/v1/webhooks?owner=${ada.id}`, 'oversight', `actor/${ada.id}`],
      [`/v1/webhooks?owner=${ben.id}`, 'oversight', `actor/${ben.id}`],
      [`/v1/audit?context=${idOf(adas)}`, 'audit', `context/${idOf(adas)}`],
      [`/v1/audit?context=${idOf(bens)}`, 'audit', `context/${idOf(bens)}`],
      [`/v1/audit?actor=${ada.id}`, 'audit', `actor/${ada.id}`],
      [`/v1/audit?actor=${ben.id}`, 'audit', `actor/${ben.id}`],
      [`/v1/audit?stream=actor/${ada.id}&actor=${ben.id}`, 'audit', `actor/${ada.id}`],
      [`/v1/connections?context=${idOf(adas)}`, 'oversight', `context/${idOf(adas)}`],
      [`/v1/connections?context=${idOf(bens)}`, 'oversight', `context/${idOf(bens)}`],
    ] as const) {
      const read = await traced((headers) => as(key, path, { headers }));
      expect([path, read.status]).toEqual([path, 200]);
      expect([path, (await entriesOf(read.id))[0]]).toMatchObject([path, { reason, stream, outcome: 'allowed' }]);
      const again = await traced((headers) => as(key, path, { headers }));
      await entriesOf(again.id, 0);
    }
  });

  it('but nothing that a caller wrote', async () => {
    const key = await overseer();
    const read = await traced((headers) => as(key, '/v1/audit?stream=secret/hunter2', { headers }));
    expect(read.status).toBe(200);
    const [entry] = await entriesOf(read.id);
    expect(entry?.stream).toBeNull();
    expect(JSON.stringify(entry)).not.toContain('hunter2');
  });
});
