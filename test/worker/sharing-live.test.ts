import { evictDurableObject } from 'cloudflare:test';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Frame } from '../support/live.ts';
import { holdTimers, objectOf, pass, untilTrue, watch } from '../support/live.ts';
import { contextOf, idOf, invite, type Person, person, share } from '../support/sharing.ts';

/** Milliseconds that a subscriber has to close its socket itself. */
const CLOSE_MS = 1_000;

let ann: Person;
let bob: Person;
let cem: Person;
beforeAll(async () => {
  [ann, bob, cem] = await Promise.all([person('Ann'), person('Bob'), person('Cem')]);
});

afterEach(() => {
  vi.useRealTimers();
});

const headersOf = ({ key }: Person) => ({ Authorization: `Bearer ${key}` });
const watchAs = (who: Person, context: string, query = '') => watch(idOf(context), query, headersOf(who));

/** The types of the events that came. */
const typesOf = (frames: readonly Frame[]) =>
  frames.filter(({ type }) => type === 'event').map(({ event }) => event.type);

describe('a live subscription', () => {
  it.each<[string, (context: string) => Promise<Response>, string]>([
    ['is removed', (context) => ann.remove(`${context}/members/${bob.id}`), 'member_removed'],
    ['leaves', (context) => bob.post(`${context}/leave`), 'member_left'],
  ])(
    'of somebody who %s is told so at once and closed with 4403 within a second, without the event of it',
    async (_what, end, type) => {
      const context = await contextOf(ann);
      await share(ann, context, bob);
      await share(ann, context, cem);
      const [lost, stays] = await Promise.all([watchAs(bob, context), watchAs(cem, context)]);
      await Promise.all([lost.until('hello'), stays.until('hello')]);
      holdTimers();
      expect((await end(context)).status).toBe(204);
      await untilTrue(() => lost.frames.at(-1)?.type === 'close');
      expect(lost.frames.at(-1)).toMatchObject({ code: 4403 });
      await pass(idOf(context), CLOSE_MS);
      await untilTrue(() => lost.closed !== null);
      expect(lost.closed?.code).toBe(4403);
      vi.useRealTimers();
      await ann.patch(context, { name: 'Among ourselves' });
      await stays.until('event', 2);
      expect(typesOf(stays.frames)).toEqual([type, 'context_updated']);
      expect(typesOf(lost.frames)).toEqual([]);
      // Whoever comes back is told that there is nothing.
      expect((await (await watchAs(bob, context)).untilClosed()).code).toBe(4404);
    },
  );

  it('is closed also when the object has slept meanwhile', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const watcher = await watchAs(bob, context);
    await watcher.until('hello');
    await evictDurableObject(objectOf(idOf(context)), { webSockets: 'hibernate' });
    await ann.remove(`${context}/members/${bob.id}`);
    expect(await watcher.until('close')).toMatchObject({ code: 4403 });
    expect(typesOf(watcher.frames)).toEqual([]);
  });

  it('of server-sent events ends as well', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const response = await bob.call(`${context}/events?offset=now`, { headers: { Accept: 'text/event-stream' } });
    const text = response.text();
    // At once: no timer ends it.
    holdTimers();
    expect((await ann.remove(`${context}/members/${bob.id}`)).status).toBe(204);
    expect(await text).not.toContain('event: member_removed');
  });

  it('stays while the role only changes to another that may watch', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const watcher = await watchAs(bob, context);
    await watcher.until('hello');
    await ann.patch(`${context}/members/${bob.id}`, { role: 'viewer' });
    await ann.post(`${context}/transfer`, { to: bob.id });
    await watcher.until('event', 2);
    expect(typesOf(watcher.frames)).toEqual(['member_role_changed', 'ownership_transferred']);
    expect(watcher.closed).toBeNull();
  });

  it('is not opened for somebody who is only invited, nor for a ticket of theirs', async () => {
    const context = await contextOf(ann);
    await invite(ann, context, bob);
    expect((await (await watchAs(bob, context)).untilClosed()).code).toBe(4403);
    expect((await bob.post(`${context}/tickets`)).status).toBe(403);
  });

  it('cannot be opened with a ticket from before the loss', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const { ticket }: { ticket: string } = await (await bob.post(`${context}/tickets`)).json();
    await ann.remove(`${context}/members/${bob.id}`);
    const watcher = await watch(idOf(context), `?ticket=${ticket}`, { Authorization: '' });
    expect((await watcher.untilClosed()).code).toBe(4404);
  });

  it('shows two people how one proposes and the other approves', async () => {
    const context = await contextOf(ann, { name: 'Before' });
    await share(ann, context, bob);
    const watchers = await Promise.all([watchAs(ann, context), watchAs(bob, context)]);
    await Promise.all(watchers.map((watcher) => watcher.until('hello')));
    const made = await bob.post(`${context}/proposals`, { change: { name: 'After' }, message: 'Clearer' });
    const { id }: { id: string } = await made.json();
    await ann.post(`${context}/proposals/${id}/comments`, { text: 'Right' });
    const approval = await ann.post(`${context}/proposals/${id}/approve`);
    expect(await approval.json()).toMatchObject({ status: 'applied', approvals: [{ actor: ann.id }] });
    for (const watcher of watchers) {
      await watcher.until('event', 3);
      expect(typesOf(watcher.frames)).toEqual(['proposal_made', 'proposal_commented', 'proposal_applied']);
      expect(watcher.frames.at(-1)?.event.data).toEqual({
        proposal: id,
        change: { name: 'After' },
        proposedBy: bob.id,
        approvedBy: [ann.id],
      });
      expect(watcher.frames[0]?.state).not.toHaveProperty('collaboration');
    }
    expect(await (await bob.call(context)).json()).toMatchObject({ name: 'After' });
  });

  it('shows two people what else becomes of proposals', async () => {
    const context = await contextOf(ann, { name: 'Before' });
    await share(ann, context, bob);
    const mergePatch = { 'Content-Type': 'application/merge-patch+json' };
    const rules = { method: 'PATCH', json: { approvalsRequired: 2 }, headers: mergePatch };
    expect((await ann.call(`${context}/rules`, rules)).status).toBe(200);
    const watchers = await Promise.all([watchAs(ann, context), watchAs(bob, context)]);
    await Promise.all(watchers.map((watcher) => watcher.until('hello')));
    const propose = async (name: string) => {
      const { id }: { id: string } = await (await bob.post(`${context}/proposals`, { change: { name } })).json();
      return { id, to: (step: string, who: Person) => who.post(`${context}/proposals/${id}/${step}`) };
    };
    const [first, second] = [await propose('One'), await propose('Two')];
    await ann.patch(context, { name: 'Meanwhile' });
    for (const answer of [
      await first.to('rebase', bob),
      await first.to('approve', ann),
      await first.to('reject', ann),
      await second.to('withdraw', bob),
    ]) {
      expect(answer.status).toBe(200);
    }
    for (const watcher of watchers) {
      await watcher.until('event', 7);
      const events = watcher.frames.filter(({ type }) => type === 'event').slice(3);
      expect(events.map(({ event: { type, data } }) => [type, data.proposal])).toEqual([
        ['proposal_rebased', first.id],
        ['proposal_approved', first.id],
        ['proposal_rejected', first.id],
        ['proposal_withdrawn', second.id],
      ]);
    }
  });

  it('shows two people how notes come and go', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const watchers = await Promise.all([watchAs(ann, context), watchAs(bob, context)]);
    await Promise.all(watchers.map((watcher) => watcher.until('hello')));
    const { id }: { id: string } = await (await bob.post(`${context}/notes`, { text: 'Ask Cem' })).json();
    expect((await ann.remove(`${context}/notes/${id}`)).status).toBe(204);
    for (const watcher of watchers) {
      await watcher.until('event', 2);
      const events = watcher.frames.filter(({ type }) => type === 'event');
      expect(events.map(({ event: { type, data } }) => [type, data.note])).toEqual([
        ['note_added', id],
        ['note_removed', id],
      ]);
    }
  });
});
