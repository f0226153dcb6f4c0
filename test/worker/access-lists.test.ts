import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { liftLimits } from '../support/access/world.ts';
import { expectJson } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { contextOf, idOf, invite, type Person, person, share } from '../support/sharing.ts';

/** Access that is lost shows in lists within so many milliseconds. */
const PROMISED_MS = 1_000;
/** What a busy machine may add to that; less than a busy stream waits for more events. */
const SLACK_MS = 1_500;
/** After so long the stream is written to D1 as seldom as it ever is, in milliseconds. */
const BUSY_MS = 5_000;

let ann: Person;
let bob: Person;
let cem: Person;
beforeAll(async () => {
  await liftLimits();
  [ann, bob, cem] = await Promise.all([person('Ann'), person('Bob'), person('Cem')]);
});

interface Listed {
  readonly items?: readonly { readonly id: string; readonly version?: number }[];
  readonly nodes?: readonly { readonly id: string }[];
}

const listed = async (who: Person, path: string) => expectJson<Listed>(await who.call(path), 200);

/** Changes a context all the time, as four callers do. @returns ends it */
function keepChanging(context: string): () => Promise<void> {
  let isOver = false;
  const caller = async (name: string) => {
    for (let change = 0; !isOver; change++) {
      await expectJson(await ann.patch(context, { description: `${name} ${change}` }), 200);
    }
  };
  const callers = Promise.all(['a', 'b', 'c', 'd'].map(caller));
  return async () => {
    isOver = true;
    await callers;
  };
}

/** Waits until a context has just been written to D1. */
async function untilWritten(context: string): Promise<void> {
  const versionOf = async () => {
    const { items = [] } = await listed(ann, '/v1/contexts?limit=100');
    return items.find(({ id }) => id === idOf(context))?.version ?? 0;
  };
  const before = await versionOf();
  await vi.waitFor(async () => expect(await versionOf()).toBeGreaterThan(before), { timeout: 10_000, interval: 20 });
}

describe('a context that changes all the time', () => {
  it('is gone from what is listed within a second from who is removed from it', { timeout: 40_000 }, async () => {
    const context = await contextOf(ann, { name: 'Zephyr accounts' });
    await share(ann, context, bob);
    const own = await contextOf(bob, { name: 'Of Bob' });
    const json = { from: idOf(own), to: idOf(context), type: 'knows' };
    await expectJson(await bob.post('/v1/connections', json), 201);
    const invitation = await invite(ann, context, cem);
    const shown = async () => {
      const [list, search, graph, invitations] = await Promise.all([
        listed(bob, '/v1/contexts?limit=100'),
        listed(bob, '/v1/contexts/search?q=zephyr'),
        listed(bob, `${own}/graph`),
        listed(cem, '/v1/invitations'),
      ]);
      const has = (found: Listed['items']) => found?.some(({ id }) => id === idOf(context)) ?? false;
      const isInvited = invitations.items?.some(({ id }) => id === idOf(invitation)) ?? false;
      return { list: has(list.items), search: has(search.items), graph: has(graph.nodes), isInvited };
    };

    const end = keepChanging(context);
    try {
      await new Promise((resolve) => setTimeout(resolve, BUSY_MS));
      expect(await shown()).toEqual({ list: true, search: true, graph: true, isInvited: true });
      await untilWritten(context);
      const gone = async (what: object, began: number) => {
        await vi.waitFor(async () => expect(await shown()).toMatchObject(what), { timeout: 10_000, interval: 20 });
        expect(Date.now() - began).toBeLessThan(PROMISED_MS + SLACK_MS);
      };
      expect((await ann.remove(`${context}/members/${bob.id}`)).status).toBe(204);
      await gone({ list: false, search: false, graph: false }, Date.now());
      await untilWritten(context);
      expect((await ann.remove(invitation)).status).toBe(204);
      await gone({ isInvited: false }, Date.now());
    } finally {
      await end();
    }
  });
});

it('a context that D1 did not take for a while is gone from the list as soon as that takes it', async () => {
  const context = await contextOf(ann);
  await share(ann, context, bob);
  const isListed = async () =>
    (await listed(bob, '/v1/contexts?limit=100')).items?.some(({ id }) => id === idOf(context)) ?? false;
  await vi.waitFor(async () => expect(await isListed()).toBe(true));
  const id = idOf(context);
  const refused = `CREATE TRIGGER no_room BEFORE UPDATE ON contexts WHEN new.id = '${id}' BEGIN SELECT RAISE(ABORT, 'no'); END`;
  await env.DB.prepare(refused).run();
  try {
    await expectJson(await ann.patch(context, { name: 'Not written' }), 200);
    // Each attempt that fails doubles the time to the next: it is a minute by now.
    for (let attempt = 0; attempt < 8; attempt++) {
      const retried = await api(`/v1/admin/outbox/context/${id}/retry`, { method: 'POST' });
      expect(retried.status).toBe(204);
    }
  } finally {
    await env.DB.prepare('DROP TRIGGER no_room').run();
  }
  expect((await ann.remove(`${context}/members/${bob.id}`)).status).toBe(204);
  const before = Date.now();
  await vi.waitFor(async () => expect(await isListed()).toBe(false), { timeout: 10_000, interval: 20 });
  expect(Date.now() - before).toBeLessThan(PROMISED_MS + SLACK_MS);
});
