import { z } from 'zod';
import type { EmbeddedEnv } from './env.ts';
import type { Fault } from './faults.ts';
import { chittyIdText, noQuery, shortText, wholeNumber } from './input.ts';
import { bytesOf, PAGE_BYTES } from './page-size.ts';
import { isProblem, notFound } from './problem.ts';
import { type Call, get, post, type Route, replyText } from './routing.ts';
import { SERVICE_NAMES, type ServiceName } from './service-names.ts';
import { SqliteObject, single } from './storage.ts';

/** Services in one answer at most. */
const PAGE_MAX = 500;
/** Services in one answer when the caller does not say. */
const PAGE_DEFAULT = 200;
/** Capabilities that one service names at most. */
const CAPABILITIES_MAX = 100;
/** Characters of the health that a service reports, as JSON. */
const HEALTH_MAX_CHARS = 10_000;

/** What the services of this Worker say of themselves. */
const OWN: Readonly<Record<ServiceName, { readonly name: string; readonly capabilities: readonly string[] }>> = {
  id: { name: 'ChittyID', capabilities: ['mint', 'validate', 'info', 'did'] },
  auth: { name: 'ChittyAuth', capabilities: ['provision-keys', 'verify', 'refresh'] },
  registry: { name: 'ChittyRegistry', capabilities: ['discover', 'register'] },
  dna: { name: 'ChittyDNA', capabilities: ['initialize', 'evolve', 'archive', 'lineage'] },
  verify: { name: 'ChittyVerify', capabilities: ['verify-context', 'verify-chittyid', 'verify-dna', 'verify-apikey'] },
  certify: { name: 'ChittyCertify', capabilities: ['certify-context', 'certify-service'] },
  chronicle: { name: 'ChittyChronicle', capabilities: ['log', 'entries', 'timeline', 'relationships', 'history'] },
};

/** The type that contexts register themselves as. */
const CONTEXT_TYPE = 'context';
/** What the index of services that are no contexts goes by; a query has to say the same to be answered from it. */
const IS_SERVICE = `type <> '${CONTEXT_TYPE}'`;
const SERVICES_INDEX = `CREATE INDEX IF NOT EXISTS services_alone ON services (position) WHERE ${IS_SERVICE}`;

/** A service, ready to be written. */
interface Entry {
  readonly id: string;
  readonly chittyid: string;
  readonly type: string;
  /** JSON text without `health`. */
  readonly service: string;
  /** JSON text; null when it is computed from the faults that are switched on. */
  readonly health: string | null;
}

/** Which services are asked for. */
export interface Discovery {
  readonly type: string | null;
  readonly capability: string | null;
  /** Whether contexts are left out, of which there may be millions. */
  readonly withoutContexts: boolean;
  readonly after: number;
  readonly limit: number;
}

/** The directory of services: one object, because it is asked for as a whole; the contexts in it have an index apart. */
export class ChittyRegistryObject extends SqliteObject {
  protected override readonly tables = `
    CREATE TABLE services (
      position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, chittyid TEXT NOT NULL UNIQUE, type TEXT NOT NULL,
      service TEXT NOT NULL, health TEXT
    );
    CREATE INDEX services_by_type ON services (type, position);
    ${SERVICES_INDEX};
  `;

  constructor(context: DurableObjectState, env: EmbeddedEnv) {
    super(context, env);
    // Older registries were made without it.
    if (this.hasTables) this.sql.exec(SERVICES_INDEX);
  }

  /** Registers a service under its ChittyID, or renews what is known of it. @returns it as JSON text */
  async register(entry: Entry): Promise<{ text: string; isNew: boolean }> {
    await this.#registerOwn();
    return this.write(() => {
      const isNew = this.#select('WHERE chittyid = ?', entry.chittyid).length === 0;
      this.#put(entry);
      return { text: describe({ ...entry, position: 0 }, {}), isNew };
    });
  }

  /** A page of services as JSON text. */
  async discover({ type, capability, withoutContexts, after, limit }: Discovery): Promise<string> {
    await this.#registerOwn();
    const services = withoutContexts ? `INDEXED BY services_alone WHERE ${IS_SERVICE} AND` : 'WHERE';
    const where = `${services} position > ?1 AND (?2 IS NULL OR type = ?2) AND (?3 IS NULL OR EXISTS
      (SELECT 1 FROM json_each(service, '$.capabilities') WHERE value = ?3)) ORDER BY position LIMIT ?4`;
    const faults = await single(this.env.FAULTS).list();
    const texts: string[] = [];
    let bytes = 0;
    let last = after;
    const rows = this.#select(where, after, type, capability, limit);
    for (const row of rows) {
      if (bytes >= PAGE_BYTES) break;
      const text = describe(row, faults);
      texts.push(text);
      bytes += bytesOf(text);
      last = row.position;
    }
    const isComplete = texts.length === rows.length && rows.length < limit;
    return `{"services":[${texts.join()}],"nextAfter":${isComplete ? null : last}}`;
  }

  /** A service by its id or its ChittyID, as JSON text. */
  async find(id: string): Promise<string | null> {
    await this.#registerOwn();
    const [row] = this.#select('WHERE id = ?1 OR chittyid = ?1', id);
    return row ? describe(row, await single(this.env.FAULTS).list()) : null;
  }

  /** The services of this Worker register themselves when the registry is first used, with ids from the authority. */
  async #registerOwn(): Promise<void> {
    if (this.hasTables) return;
    const entries: Entry[] = [];
    for (const service of SERVICE_NAMES) entries.push(ownEntry(service, await mintFor(this.env, service)));
    this.write(() => {
      for (const entry of entries) this.#put(entry);
    });
  }

  #put({ id, chittyid, type, service, health }: Entry): void {
    this.sql.exec(
      `INSERT INTO services (id, chittyid, type, service, health) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (chittyid) DO UPDATE SET type = excluded.type, service = excluded.service, health = excluded.health`,
      id,
      chittyid,
      type,
      service,
      health,
    );
  }

  #select(where: string, ...bindings: (string | number | null)[]) {
    return this.sql
      .exec<{ position: number; id: string; chittyid: string; type: string; service: string; health: string | null }>(
        `SELECT position, id, chittyid, type, service, health FROM services ${where}`,
        ...bindings,
      )
      .toArray();
  }
}

async function mintFor(env: EmbeddedEnv, service: ServiceName): Promise<string> {
  const order = { type: 'T', characterization: 'Service', metadata: JSON.stringify({ service }) } as const;
  const outcome = await single(env.CHITTY_ID).mint(order, `chittyos service ${service}`, Date.now());
  if (isProblem(outcome)) throw new Error(outcome.detail);
  return outcome.minted.id;
}

function ownEntry(service: ServiceName, chittyid: string): Entry {
  const { name, capabilities } = OWN[service];
  const id = name.toLowerCase();
  const text = JSON.stringify({
    id,
    chittyid,
    name,
    type: 'core',
    baseUrl: `https://${service}.chitty.cc`,
    capabilities,
  });
  return { id, chittyid, type: 'core', service: text, health: null };
}

/** A service with its health. That of the services here is what their faults make of it. */
function describe(entry: Entry & { position: number }, faults: Readonly<Record<string, Fault>>): string {
  const health = entry.health ?? JSON.stringify(ownHealth(entry.id, faults));
  return `${entry.service.slice(0, -1)},"health":${health}}`;
}

function ownHealth(id: string, faults: Readonly<Record<string, Fault>>): string {
  const service = SERVICE_NAMES.find((name) => OWN[name].name.toLowerCase() === id);
  const fault = service && faults[service];
  if (!fault || Object.keys(fault).length === 0) return 'healthy';
  return fault.outage ? 'down' : 'degraded';
}

const registerBody = z
  .strictObject({
    chittyid: chittyIdText,
    name: shortText,
    type: shortText,
    baseUrl: z.url().max(2_000).exactOptional(),
    capabilities: z.array(shortText).max(CAPABILITIES_MAX, `must have at most ${CAPABILITIES_MAX} items`),
    health: z
      .json()
      .refine((health) => JSON.stringify(health).length <= HEALTH_MAX_CHARS, 'is too long')
      .default('unknown'),
  })
  .transform(({ health, ...service }): Entry => {
    const { chittyid, type } = service;
    const text = JSON.stringify({ id: chittyid, ...service });
    return { id: chittyid, chittyid, type, service: text, health: JSON.stringify(health) };
  });

const discoverQuery = z.strictObject({
  exclude: z.literal(CONTEXT_TYPE, `must be ${CONTEXT_TYPE}`).exactOptional(),
  type: shortText.nullable().default(null),
  capability: shortText.nullable().default(null),
  after: wholeNumber(0, Number.MAX_SAFE_INTEGER).default(0),
  limit: wholeNumber(1, PAGE_MAX).default(PAGE_DEFAULT),
});

const registry = ({ env }: Call) => single(env.CHITTY_REGISTRY);

/** ChittyRegistry: which services there are, what they can do and how they are. */
export const registryRoutes: readonly Route[] = [
  get('/api/services', discoverQuery, async (call, { exclude, ...query }) => ({
    status: 200,
    text: await registry(call).discover({ ...query, withoutContexts: exclude !== undefined }),
  })),
  get('/api/services/:id', noQuery, async (call) => {
    const text = await registry(call).find(call.params.id ?? '');
    return text === null ? notFound('service with this id') : { status: 200, text };
  }),
  post('/api/services/register', registerBody, async (call, entry) => {
    const { text, isNew } = await registry(call).register(entry);
    return replyText(text, isNew);
  }),
];
