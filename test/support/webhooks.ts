import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { Webhook } from 'standardwebhooks';
import { vi } from 'vitest';
import { z } from 'zod';
import { envelopeSchema } from '../../events/envelope.ts';
import type { WebhookObject } from '../../src/webhooks/objects.ts';
import { expectJson } from './actors.ts';
import { idOf, type Person } from './sharing.ts';

/** A webhook as the API gives it. */
export interface WebhookJson {
  id: string;
  url: string;
  status: string;
  version: number;
  secrets: { id: string; endsAt: string | null }[];
  disabled: { reason: string; detail: string | null } | null;
  delivery: {
    failing: number;
    replays: number;
    unreadable: { context: string; version: number; reason: string }[];
    nextAttemptAt: string | null;
    lastDeliveredAt: string | null;
  };
  [member: string]: unknown;
}

const delivered = z.strictObject({ type: z.string(), timestamp: z.string(), data: envelopeSchema });

/** A request as a receiver gets it. */
export interface ReceivedHook {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly init: RequestInit;
}

/** How a receiver answers. */
type Reply = (hook: ReceivedHook) => Response | Promise<Response>;

/** Somebody at an address who gets webhooks. */
export class Receiver {
  readonly url: string;
  readonly hooks: ReceivedHook[] = [];
  reply: Reply = () => new Response(null, { status: 204 });

  constructor(url: string) {
    this.url = url;
  }

  /** The events that came, as `<context's id> <version>`, in the order in which they came. */
  get places(): string[] {
    return this.hooks.map(({ body }) => {
      const { data } = delivered.parse(JSON.parse(body));
      return `${idOf(data.stream)} ${data.version}`;
    });
  }
}

const receivers = new Map<string, Receiver>();

/** Stands in the place of the network from now on: what goes to a receiver's address gets there, nothing else goes out. */
export function standInForNetwork(): void {
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init = {}) => {
    const receiver = receivers.get(String(input));
    if (!receiver) throw new TypeError('Network connection lost.');
    const headers = Object.fromEntries(new Headers(init.headers));
    const hook = { headers, body: String(init.body), init };
    receiver.hooks.push(hook);
    return receiver.reply(hook);
  });
}

let made = 0;

/** Somebody who answers 204 to everything, until they are told to answer otherwise. */
export function receiver(): Receiver {
  made += 1;
  const one = new Receiver(`https://hooks-${made}.example.com/events`);
  receivers.set(one.url, one);
  return one;
}

/** Has somebody's events sent to a receiver. @returns the path of the webhook, and its secret */
export async function webhookOf(
  owner: Person,
  to: Receiver,
  fields: object = {},
): Promise<{ path: string; secret: string }> {
  const sent = await owner.post('/v1/webhooks', { url: to.url, ...fields }, { Prefer: 'wait=10' });
  const { id, secret } = await expectJson<{ id: string; secret: string }>(sent, 201);
  return { path: `/v1/webhooks/${id}`, secret };
}

/** Reads a webhook. */
export async function readWebhook(by: Person, path: string): Promise<WebhookJson> {
  return expectJson(await by.call(path), 200);
}

/** The object of a webhook. */
export function webhookObject(path: string): DurableObjectStub<WebhookObject> {
  return env.WEBHOOKS.get(env.WEBHOOKS.idFromName(idOf(path)));
}

/** The types of a webhook's events. */
export function eventTypesOf(path: string): Promise<string[]> {
  return runInDurableObject(webhookObject(path), (_object, { storage }) =>
    storage.sql
      .exec<{ type: string }>('SELECT type FROM events ORDER BY version')
      .toArray()
      .map(({ type }) => type),
  );
}

/** What the official library says of a request: its body, when one of the signatures is by the secret. */
export function verified(secret: string, { headers, body }: ReceivedHook): z.infer<typeof delivered> {
  return delivered.parse(new Webhook(secret).verify(body, { ...headers }));
}

/** Whether the official library takes a signature for one by the secret. */
export function isSignedBy(secret: string, { headers, body }: ReceivedHook): boolean {
  try {
    new Webhook(secret).verify(body, { ...headers });
    return true;
  } catch {
    return false;
  }
}
