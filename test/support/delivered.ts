import { listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect, vi } from 'vitest';
import type { Reading } from '../../actors/messages.ts';
import type { Principal } from '../../actors/principal.ts';
import type { Head } from '../../actors/tree.ts';
import { ADMINISTRATOR } from './principals.ts';

/** How long a stream may take to deliver, in milliseconds. */
const PATIENCE_MS = 20_000;

/** What delivers its events. */
export type Deliverer = Rpc.DurableObjectBranded & {
  treeHead(principal: Principal): Reading<Head>;
  whenDelivered(destination: string, version: number, timeoutMs: number): Promise<boolean>;
};

/** Has a stream bring a destination all that there is of it now. Of one that was never written to there is nothing. */
export async function deliverAll(stream: DurableObjectStub<Deliverer>, destination: string): Promise<void> {
  const head = await stream.treeHead(ADMINISTRATOR);
  if ('size' in head) expect(await stream.whenDelivered(destination, head.size, PATIENCE_MS)).toBe(true);
}

/** Waits until nothing of any context is on its way: those of the tests before are in the read models as well. */
export async function allAreQuiet(): Promise<void> {
  for (const made of await listDurableObjectIds(env.CONTEXTS)) {
    await vi.waitFor(async () => expect(await env.CONTEXTS.get(made).flushOutbox()).toBe(true), PATIENCE_MS);
  }
}
