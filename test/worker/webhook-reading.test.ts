import { env } from 'cloudflare:workers';
import { expect, it, vi } from 'vitest';
import type { RefusalCode } from '../../actors/decider.ts';
import type { Webhook } from '../../actors/webhook.ts';
import type { Env } from '../../src/env.ts';
import { eventsFor } from '../../src/webhooks/reading.ts';
import { person } from '../support/sharing.ts';

/** What is read for a webhook of a context that answers so. */
async function readOf(history: () => Promise<unknown>): Promise<unknown> {
  const ann = await person('Ann');
  const CONTEXTS = { idFromName: (name: string) => name, get: () => ({ history }) };
  const inStead: Env = new Proxy(env, {
    get: (target, name) => (name === 'CONTEXTS' ? CONTEXTS : Reflect.get(target, name)),
  });
  const webhook = { id: 'whk_1', owner: ann.id, contexts: null } as Webhook;
  return eventsFor(inStead, webhook, 'ctx_1', 4, 10);
}

it.each<[RefusalCode, unknown]>([
  ['not-found', []],
  ['forbidden', []],
  ['insufficient-scope', []],
  ['deleted', []],
  ['history-unavailable', { reason: 'says why', isPassing: true }],
  ['history-damaged', { reason: 'says why', isPassing: false }],
  ['conflict', { reason: 'says why', isPassing: true }],
])(
  'a webhook takes %s for what it is: a right that is not there, or events that cannot be read',
  async (refused, read) => {
    expect(await readOf(async () => ({ refused, detail: 'says why', version: 9 }))).toEqual(read);
  },
);

it('a webhook takes an object that fails for events that cannot be read now, and says nothing of what is in it', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const read = await readOf(async () => {
    throw new Error('with the words of somebody');
  });
  expect(read).toEqual({ reason: 'Version 5 of context/ctx_1 cannot be read now.', isPassing: true });
  vi.restoreAllMocks();
});
