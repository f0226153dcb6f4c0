import { evictDurableObject } from 'cloudflare:test';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Principal } from '../../actors/principal.ts';
import { expectJson } from '../support/actors.ts';
import { createContext } from '../support/api.ts';
import { attachments, change, objectOf, Watcher, watch } from '../support/live.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { expectProblem } from '../support/rest.ts';
import { contextOf, idOf, type Person, person, share } from '../support/sharing.ts';

let ann: Person;
let bob: Person;
let eve: Person;
beforeAll(async () => {
  [ann, bob, eve] = await Promise.all([person('Ann'), person('Bob'), person('Eve')]);
});

const watchAs = ({ key }: Person, context: string, query = '?presence=true') =>
  watch(idOf(context), query, { Authorization: `Bearer ${key}` });

interface PresenceFrame {
  type: string;
  actors: string[];
  count: number;
}

/** What a watcher was told of who is there. */
function told(watcher: Watcher): PresenceFrame[] {
  return watcher.texts.filter((text) => text.startsWith('{"type":"presence"')).map((text) => JSON.parse(text));
}

/** Waits until a watcher was last told of these. */
async function untilTold(watcher: Watcher, actors: readonly string[]): Promise<void> {
  await vi.waitFor(() => expect(told(watcher).at(-1)?.actors).toEqual(actors), { timeout: 10_000, interval: 20 });
}

/** Opens a socket to the object as somebody whom only this test knows. */
async function watchAsAnybody(id: string, actor: string, query = '?presence=true'): Promise<Watcher> {
  const principal: Principal = { ...ADMINISTRATOR, actor, subject: actor };
  const headers = { Upgrade: 'websocket', 'X-Principal': encodeURIComponent(JSON.stringify(principal)) };
  const { webSocket } = await objectOf(id).fetch(`https://object/live${query}`, { headers });
  if (!webSocket) throw new Error('no socket');
  return new Watcher(webSocket);
}

describe('who watches a context', () => {
  it('is told to those who ask for it: at once to who comes, and when others come and go', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const first = await watchAs(ann, context);
    await untilTold(first, [ann.id]);
    expect(first.frames[0]?.type).toBe('hello');
    const second = await watchAs(bob, context);
    await untilTold(second, [ann.id, bob.id]);
    await untilTold(first, [ann.id, bob.id]);
    second.socket.close(1000);
    await untilTold(first, [ann.id]);
    expect(told(first).at(-1)?.count).toBe(1);
  });

  it('is not told to those who did not ask', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const asks = await watchAs(ann, context);
    const [silent, refuses] = [await watchAs(bob, context, ''), await watchAs(bob, context, '?presence=false')];
    await untilTold(asks, [ann.id, bob.id]);
    await Promise.all([silent.ping(), refuses.ping()]);
    expect([...told(silent), ...told(refuses)]).toEqual([]);
  });

  it('is a list of actors, not of connections', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const watcher = await watchAs(ann, context);
    const [one, other] = [await watchAs(bob, context, ''), await watchAs(bob, context, '')];
    await untilTold(watcher, [ann.id, bob.id]);
    const before = told(watcher).length;
    one.socket.close(1000);
    await one.untilClosed();
    // Longer than comings and goings are gathered.
    await scheduler.wait(1_500);
    expect(told(watcher)).toHaveLength(before);
    other.socket.close(1000);
    await untilTold(watcher, [ann.id]);
  });

  it('can be asked for by those who may read the context, and by nobody else', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob, 'viewer');
    const watcher = await watchAs(ann, context, '');
    await watcher.until('hello');
    expect(await expectJson(await bob.call(`${context}/presence`), 200)).toEqual({ actors: [ann.id], count: 1 });
    await expectProblem(await eve.call(`${context}/presence`), 404, 'not-found');
    watcher.socket.close(1000);
    await watcher.untilClosed();
    expect(await expectJson(await bob.call(`${context}/presence`), 200)).toEqual({ actors: [], count: 0 });
  });

  it('does not show who has lost access', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const [watcher, lost] = [await watchAs(ann, context), await watchAs(bob, context)];
    await untilTold(watcher, [ann.id, bob.id]);
    // The other was told in the same turn, and has heard it when this is answered.
    await lost.ping();
    const before = told(lost).length;
    await ann.remove(`${context}/members/${bob.id}`);
    await untilTold(watcher, [ann.id]);
    expect(told(lost)).toHaveLength(before);
  });

  it('is known also when the object has slept meanwhile', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const [watcher, other] = [await watchAs(ann, context), await watchAs(bob, context)];
    await untilTold(watcher, [ann.id, bob.id]);
    await evictDurableObject(objectOf(idOf(context)), { webSockets: 'hibernate' });
    other.socket.close(1000);
    await untilTold(watcher, [ann.id]);
  });

  it('is told with a hundred names at most, and a number', async () => {
    const { id } = await createContext();
    const watcher = await watchAsAnybody(id, 'act_0');
    await Promise.all(Array.from({ length: 104 }, (_, n) => watchAsAnybody(id, `act_${n + 1}`, '')));
    await vi.waitFor(() => expect(told(watcher).at(-1)?.count).toBe(105), 10_000);
    expect(told(watcher).at(-1)?.actors).toHaveLength(100);
    // They came together, and were told of together.
    expect(told(watcher).length).toBeLessThan(10);
  });

  it('counts as what a subscriber has to confirm, and delays nobody who does not', async () => {
    const { id } = await createContext();
    const watcher = await watchAsAnybody(id, 'act_0');
    await watcher.until('hello');
    // At once, and when comings and goings were gathered: then there is no more to tell.
    await watcher.until('presence', 2);
    const sent = (await attachments(id))[0]?.sentChars;
    expect(sent).toBe(watcher.chars);
    await change(id, { name: 'Next' });
    await watcher.untilVersion(2);
  });

  it('is told over server-sent events too, without an id, so that who comes back goes on after the last event', async () => {
    const context = await contextOf(ann);
    await share(ann, context, bob);
    const headers = { Accept: 'text/event-stream' };
    const response = await ann.call(`${context}/events?offset=now&presence=true`, { headers });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    if (!reader) throw new Error('no stream');
    let text = '';
    const untilText = async (what: string) => {
      while (!text.includes(what)) text += (await reader.read()).value ?? '';
    };
    const told = (...actors: string[]) =>
      `event: presence\ndata: ${JSON.stringify({ actors, count: actors.length })}\n\n`;
    await untilText(told(ann.id));
    const other = await watchAs(bob, context, '');
    await untilText(told(ann.id, bob.id));
    await ann.patch(context, { name: 'Next' });
    await untilText('event: context_updated');
    other.socket.close(1000);
    const before = text.length;
    while (!text.slice(before).includes(told(ann.id))) text += (await reader.read()).value ?? '';
    await reader.cancel();
    // Every block with an id but the first carries an event, and no block of presence has one.
    const blocks = text.split('\n\n').filter((block) => block.includes('presence'));
    expect(blocks.length).toBeGreaterThanOrEqual(3);
    for (const block of blocks) expect(block).not.toMatch(/^id:/m);
  });

  it('is not told over server-sent events to those who did not ask', async () => {
    const context = await contextOf(ann);
    const response = await ann.call(`${context}/events`, { headers: { Accept: 'text/event-stream' } });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    if (!reader) throw new Error('no stream');
    await ann.patch(context, { name: 'Next' });
    let text = '';
    while (!text.includes('context_updated')) text += (await reader.read()).value ?? '';
    await reader.cancel();
    expect(text).not.toContain('presence');
  });

  it.each([
    ['a page', '?presence=true', 'application/json'],
    ['NDJSON', '?presence=true', 'application/x-ndjson'],
    ['Durable Streams', '?presence=true&live=sse&offset=-1', '*/*'],
    ['a stream, by another word', '?presence=1', 'text/event-stream'],
  ])('cannot be asked for with %s', async (_, query, Accept) => {
    const response = await ann.call(`${await contextOf(ann)}/events${query}`, { headers: { Accept } });
    const { errors } = await expectProblem(response, 400, 'invalid');
    expect(errors?.[0]?.pointer).toBe('presence');
  });

  it.each(['?presence=yes', '?presence=', '?presence=true&presence=true'])(
    'cannot be asked for with %s',
    async (query) => {
      const { id } = await createContext();
      const response = await ann.call(`/v1/contexts/${id}/live${query}`, { headers: { Upgrade: 'websocket' } });
      expect(response.status).toBe(400);
    },
  );
});
