import { env } from 'cloudflare:workers';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { liftLimits } from '../support/access/world.ts';
import { expectJson } from '../support/actors.ts';
import { api, type ContextJson } from '../support/api.ts';
import { holdTimers } from '../support/live.ts';
import { contextOf, idOf, invite, type Person, person, share } from '../support/sharing.ts';

let ann: Person;
let bob: Person;
let cem: Person;
beforeAll(async () => {
  await liftLimits();
  [ann, bob, cem] = await Promise.all([person('Ann'), person('Bob'), person('Cem')]);
});

afterEach(() => {
  vi.useRealTimers();
});

interface Listed {
  readonly items?: readonly { readonly id: string; readonly version?: number }[];
  readonly nodes?: readonly { readonly id: string }[];
}

const listed = async (who: Person, path: string) => expectJson<Listed>(await who.call(path), 200);

/** A context as somebody's list has it. */
const inList = async (who: Person, context: string) =>
  (await listed(who, '/v1/contexts?limit=100')).items?.find(({ id }) => id === idOf(context));

/** Waits without timers, which are held: each turn is a few requests' time. */
async function untilShown(shown: () => Promise<object>, expected: object): Promise<void> {
  for (let turn = 0; turn < 200; turn++) {
    if (JSON.stringify(await shown()) === JSON.stringify(expected)) return;
  }
  expect(await shown()).toEqual(expected);
}

describe('a context that changes all the time', () => {
  it('is gone at once from what is listed for who is removed from it, while other changes wait for company', async () => {
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
    await vi.waitFor(async () => {
      expect(await shown()).toEqual({ list: true, search: true, graph: true, isInvited: true });
    });

    // What waits for its time waits for ever from now on.
    holdTimers('Date');
    /** Changes the context as four callers do at the same moment, twice: the second time waits. */
    const change = async (what: string) => {
      for (const round of [1, 2]) {
        const changes = ['a', 'b', 'c', 'd'].map((caller) =>
          ann.patch(context, { description: `${what} ${caller} ${round}` }),
        );
        for (const changed of await Promise.all(changes)) await expectJson(changed, 200);
      }
      const { version } = await expectJson<ContextJson>(await ann.call(context), 200);
      expect((await inList(ann, context))?.version).toBeLessThan(version);
    };
    await change('first');
    expect((await ann.remove(`${context}/members/${bob.id}`)).status).toBe(204);
    await untilShown(shown, { list: false, search: false, graph: false, isInvited: true });
    await change('second');
    expect((await ann.remove(invitation)).status).toBe(204);
    await untilShown(shown, { list: false, search: false, graph: false, isInvited: false });
  });
});

it('a context that D1 did not take for a while is gone from the list as soon as that takes it', async () => {
  const context = await contextOf(ann);
  await share(ann, context, bob);
  const isListed = async () => (await inList(bob, context)) !== undefined;
  await vi.waitFor(async () => expect(await isListed()).toBe(true));
  const id = idOf(context);
  const refused = `CREATE TRIGGER no_room BEFORE UPDATE ON contexts WHEN new.id = '${id}' BEGIN SELECT RAISE(ABORT, 'no'); END`;
  await env.DB.prepare(refused).run();
  try {
    await expectJson(await ann.patch(context, { name: 'Not written' }), 200);
    // Each attempt that fails doubles the time to the next: it is minutes by now.
    for (let attempt = 0; attempt < 8; attempt++) {
      const retried = await api(`/v1/admin/outbox/context/${id}/retry`, { method: 'POST' });
      expect(retried.status).toBe(204);
    }
  } finally {
    await env.DB.prepare('DROP TRIGGER no_room').run();
  }
  expect((await ann.remove(`${context}/members/${bob.id}`)).status).toBe(204);
  await vi.waitFor(async () => expect(await isListed()).toBe(false));
});
