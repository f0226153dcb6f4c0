import { listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect, vi } from 'vitest';
import { AUDIT_DESTINATION } from '../../src/delivery/audit-sink.ts';
import { as, expectJson } from './actors.ts';
import { type Deliverer, deliverAll } from './delivered.ts';

/** An entry of the trail as it is answered. */
export interface AuditEntryJson {
  id: string;
  time: string;
  outcome: 'allowed' | 'refused';
  action: string;
  actor: string;
  onBehalfOf: string | null;
  credential: string | null;
  chain: { id: string; by: string }[];
  stream: string | null;
  log: string;
  version: number;
  reason?: string;
  presented?: string;
  operation?: string;
  fields?: string[];
  about?: string[];
  [member: string]: unknown;
}

/** A page of the trail. */
interface AuditPageJson {
  items: AuditEntryJson[];
  nextCursor: string | null;
}

/** Reads the trail, as the first administrator unless a credential is given. */
export async function auditTrail(query = '', credential = String(env.BOOTSTRAP_API_KEY)): Promise<AuditEntryJson[]> {
  return (await expectJson<AuditPageJson>(await as(credential, `/v1/audit?limit=500&${query}`), 200)).items;
}

/** Reads the trail until it is as it should be: it is written a moment after what it tells of. */
export function auditedLike<Result>(query: string, check: (entries: AuditEntryJson[]) => Result): Promise<Result> {
  return vi.waitFor(async () => check(await auditTrail(query)), { timeout: 20_000, interval: 100 });
}

/** Sends a request that has an id of its own, by which its entries are found. */
export async function traced(send: (headers: Record<string, string>) => Promise<Response>) {
  const id = `audit-${crypto.randomUUID()}`;
  const response = await send({ 'X-Request-Id': id });
  await response.body?.cancel();
  return { status: response.status, id };
}

/** The entries that a request left. */
export function entriesOf(requestId: string, count = 1): Promise<AuditEntryJson[]> {
  return auditedLike('', (entries) => {
    const own = entries.filter(({ correlationId }) => correlationId === requestId);
    expect(own).toHaveLength(count);
    return own;
  });
}

/** All rows that there are, as they are kept. */
export async function auditRows(): Promise<Record<string, unknown>[]> {
  const { results } = await env.DB.prepare('SELECT * FROM audit ORDER BY id').all();
  return results;
}

async function pay(objects: DurableObjectNamespace<Deliverer>): Promise<void> {
  for (const id of await listDurableObjectIds(objects)) await deliverAll(objects.get(id), AUDIT_DESTINATION);
}

/** Has every stream write what it still owes the trail: a busy one waits for company before it does so by itself. */
export async function payTrail(): Promise<void> {
  const { ACTORS, AUDIT, CONNECTIONS, CONTEXTS, INSTALLATIONS, LIMITS, SIGNING_KEYS, WEBHOOKS } = env;
  const all = [ACTORS, AUDIT, CONNECTIONS, CONTEXTS, INSTALLATIONS, LIMITS, SIGNING_KEYS, WEBHOOKS];
  for (const objects of all) await pay(objects);
}
