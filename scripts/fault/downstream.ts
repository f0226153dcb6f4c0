import { z } from 'zod';
import { CONTEXT_PREFIX } from '../../events/context.ts';
import { isId } from '../../events/id.ts';
import type { Json } from '../../events/json.ts';
import { ask } from './ask.ts';
import type { Carried, Downstream } from './check-downstream.ts';
import type { Target } from './writers.ts';

/** Items that one page is asked for. */
const PAGE = { services: 500, contexts: 100 } as const;

const json: z.ZodType<Json> = z.json();

const cloudEvent = z.object({
  id: z.string(),
  sequence: z.string(),
  type: z.string(),
  time: z.string(),
  leafhash: z.string(),
  data: json,
}) satisfies z.ZodType<Carried>;

const record = z.discriminatedUnion('kind', [
  z
    .object({
      kind: z.literal('entry'),
      id: z.string(),
      eventType: z.string(),
      timestamp: z.string(),
      data: cloudEvent,
    })
    // What Chronicle goes by must be what is in the event.
    .refine(
      ({ id, eventType, timestamp, data }) =>
        data.id === id && data.type.endsWith(`.${eventType}`) && data.time === timestamp,
      'is about another event than the one that it holds',
    ),
  z.object({ kind: z.literal('relationship'), from: z.string(), to: z.string(), type: z.string() }),
]);

const dnaPage = z.object({
  id: z.string(),
  status: z.enum(['active', 'archived']),
  lineage: z.array(cloudEvent),
  nextAfter: z.number().nullable(),
});

const minted = z.object({
  id: z.string(),
  metadata: z.object({ contextId: z.string().optional() }),
});
const grant = z.object({ keyId: z.string(), context: z.string() });
const certificate = z.object({ id: z.string(), kind: z.string(), subject: z.string() });
const registration = z.object({ chittyid: z.string(), type: z.string() });
const entity = z.object({ entityId: z.string(), entries: z.int() });
const listed = z.looseObject({ id: z.string() });
const outbox = z.object({ behind: z.array(z.object({ stream: z.string() })) });

const isContextId = (id: string) => isId(CONTEXT_PREFIX, id);

/** The things of one kind, by the context that each belongs to. */
type ByContext<Item> = ReadonlyMap<string, readonly Item[]>;

/** Everything that is listed anywhere downstream, by context. */
export interface Listings {
  /** Every context that anything is known of. */
  readonly contexts: ReadonlySet<string>;
  /** What belongs to no context that a ChittyID was minted for, in words. */
  readonly strays: readonly string[];
  /** The streams that the outbox says are behind. */
  readonly behind: readonly string[];
  /** The ids of dead letters. */
  readonly deadLetters: readonly string[];
  readonly chittyIds: ByContext<string>;
  readonly keyIds: ByContext<string>;
  readonly registered: ByContext<string>;
  readonly certificateIds: ByContext<string>;
  readonly listed: ByContext<string>;
}

/** Reads all lists there are. @throws when one of them does not answer, or not as it should */
export async function readListings(target: Target): Promise<Listings> {
  const [grants, registrations, certificates, entities, active, deleted, letters, { behind }] = await Promise.all([
    readAll(target, '/embedded/auth/api/keys', 'keys', grant),
    readAll(target, '/embedded/registry/api/services', 'services', registration, 0),
    readAll(target, '/embedded/certify/api/certificates', 'certificates', certificate),
    readAll(target, '/embedded/chronicle/api/entities', 'entities', entity),
    readPages(target, '/v1/contexts?status=active', listed),
    readPages(target, '/v1/contexts?status=deleted', listed),
    readPages(target, '/v1/admin/dead-letters', listed),
    read(target, '/v1/admin/outbox', outbox),
  ]);
  // Last: whatever has an id in the other lists had it by then.
  const ids = await readAll(target, '/embedded/id/v1/minted', 'minted', minted, 0);
  const ofContexts = ids.flatMap(({ id, metadata: { contextId } }) =>
    contextId === undefined ? [] : { id, contextId },
  );
  const contextOf = new Map(ofContexts.map(({ id, contextId }) => [id, contextId]));
  const all = [...active, ...deleted];
  // Others have a place in ChittyOS as well: its own services, and whoever else the product provisions.
  const entries = entities.map(({ entityId }) => entityId).filter(isContextId);
  const own = registrations.filter(({ type }) => type === 'context');
  const ownCertificates = certificates.filter(({ kind }) => kind === 'context');
  const ownGrants = grants.filter(({ context }) => isContextId(context));
  const mintedIds = new Set(ids.map(({ id }) => id));
  const strays = [
    ...own.filter(({ chittyid }) => !contextOf.has(chittyid)).map(({ chittyid }) => `${chittyid} in the registry`),
    ...ownCertificates.filter(({ subject }) => !contextOf.has(subject)).map(({ id }) => `the certificate ${id}`),
    ...entities.filter((each) => each.entries === 0 && !mintedIds.has(each.entityId)).map((each) => each.entityId),
  ];
  return {
    contexts: new Set([
      ...contextOf.values(),
      ...entries,
      ...ownGrants.map(({ context }) => context),
      ...all.map(({ id }) => id),
    ]),
    strays,
    behind: behind.map(({ stream }) => stream),
    deadLetters: letters.map(({ id }) => id),
    chittyIds: grouped(ofContexts.map(({ id, contextId }) => [contextId, id])),
    keyIds: grouped(ownGrants.map(({ keyId, context }) => [context, keyId])),
    registered: grouped(own.map(({ chittyid }) => [contextOf.get(chittyid) ?? '', chittyid])),
    certificateIds: grouped(ownCertificates.map(({ id, subject }) => [contextOf.get(subject) ?? '', id])),
    listed: grouped(all.map((item) => [item.id, JSON.stringify(item)])),
  };
}

/** Reads all that stands of one context outside of its log. @throws when something does not answer as it should */
export async function readDownstream(target: Target, id: string, listings: Listings): Promise<Downstream> {
  const chittyIds = listings.chittyIds.get(id) ?? [];
  const history = await readAll(target, `/embedded/chronicle/api/entities/${id}/history`, 'entries', record, 0);
  return {
    chronicle: history.flatMap((each) => (each.kind === 'entry' ? [each.data] : [])),
    identifiedAs: history.flatMap((each) => (each.kind === 'relationship' ? [each.to] : [])),
    dna: chittyIds[0] === undefined ? null : await readDna(target, chittyIds[0]),
    chittyIds,
    keyIds: listings.keyIds.get(id) ?? [],
    registered: listings.registered.get(id) ?? [],
    certificateIds: listings.certificateIds.get(id) ?? [],
    listed: listings.listed.get(id) ?? [],
  };
}

/** Reads the whole log of a context, an event per line; empty when there is no such context. */
export async function readLog(target: Target, id: string): Promise<string[]> {
  const path = `/v1/contexts/${id}/events`;
  const response = await ask(target, path, { accept: 'application/x-ndjson' });
  const text = await response.text();
  if (response.status === 404) return [];
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`);
  return text.split('\n').slice(0, -1);
}

async function readDna(target: Target, chittyId: string): Promise<Downstream['dna']> {
  const lineage: Carried[] = [];
  for (let after = 0; ; ) {
    const path = `/embedded/dna/api/dna/${chittyId}?limit=${PAGE.services}&after=${after}`;
    const page = await read(target, path, dnaPage.nullable(), true);
    if (page === null) return null;
    lineage.push(...page.lineage);
    if (page.nextAfter === null) return { id: page.id, isArchived: page.status === 'archived', lineage };
    after = page.nextAfter;
  }
}

/** Reads every page of one of the embedded services' lists. */
async function readAll<Item>(
  target: Target,
  path: string,
  name: string,
  schema: z.ZodType<Item>,
  start: string | number = '',
): Promise<Item[]> {
  const pageSchema = z.looseObject({ nextAfter: z.union([z.string(), z.number()]).nullable() });
  const items: Item[] = [];
  for (let after: string | number | null = start; after !== null; ) {
    const page: z.infer<typeof pageSchema> = await read(
      target,
      `${path}?limit=${PAGE.services}&after=${encodeURIComponent(after)}`,
      pageSchema,
    );
    items.push(...z.array(schema).parse(page[name]));
    after = page.nextAfter;
  }
  return items;
}

/** Reads every page of one of the product's lists. */
async function readPages<Item>(target: Target, path: string, schema: z.ZodType<Item>): Promise<Item[]> {
  const pageSchema = z.object({ items: z.array(schema), nextCursor: z.string().nullable() });
  const items: Item[] = [];
  const separator = path.includes('?') ? '&' : '?';
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query: string = `limit=${PAGE.contexts}${cursor && `&cursor=${cursor}`}`;
    const page: z.infer<typeof pageSchema> = await read(target, path + separator + query, pageSchema);
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  return items;
}

/** Reads one answer. @param isOptional whether there may be nothing, which is null */
async function read<Value>(target: Target, path: string, schema: z.ZodType<Value>, isOptional = false): Promise<Value> {
  const response = await ask(target, path);
  const text = await response.text();
  if (response.status === 404 && isOptional) return schema.parse(null);
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`);
  const { success, data, error } = schema.safeParse(JSON.parse(text));
  if (!success) throw new Error(`${path} answered something else: ${z.prettifyError(error)}`);
  return data;
}

function grouped<Item>(pairs: readonly (readonly [string, Item])[]): ByContext<Item> {
  const groups = new Map<string, Item[]>();
  for (const [key, item] of pairs) groups.set(key, [...(groups.get(key) ?? []), item]);
  return groups;
}
