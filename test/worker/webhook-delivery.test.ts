import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isIntact } from '../../events/envelope.ts';
import { contextOf, idOf, person } from '../support/sharing.ts';
import { receiver, standInForNetwork, verified, webhookOf } from '../support/webhooks.ts';

/** How long something may take that takes a second or two. */
const SOON = 8_000;

beforeEach(() => {
  standInForNetwork();
});

afterEach(() => {
  vi.restoreAllMocks();
});

const soon = <Result>(check: () => Result | Promise<Result>) => vi.waitFor(check, SOON);

describe('a delivery', () => {
  it('comes a moment after the event, is signed as the official library checks it, and holds the sealed event', async () => {
    const ann = await person('Ann');
    const there = receiver();
    const { secret } = await webhookOf(ann, there);
    const context = await contextOf(ann, { name: 'Delivered' });
    await soon(() => expect(there.places).toEqual([`${idOf(context)} 1`]));
    const [hook] = there.hooks;
    if (!hook) throw new Error('nothing came');
    const { type, timestamp, data } = verified(secret, hook);
    expect(isIntact(data)).toBe(true);
    expect({ type, timestamp }).toEqual({ type: data.type, timestamp: data.time });
    const history = await ann.call(`${context}/events`);
    const [text] = (await history.text()).slice(1, -1).split('\n');
    expect(hook.body.endsWith(`"data":${text}}`)).toBe(true);
    expect(hook.headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-id': expect.stringMatching(/^msg_/),
    });
    expect(hook.init).toMatchObject({ method: 'POST', redirect: 'manual' });
  });
});
