import { z } from 'zod';
import { noQuery } from './input.ts';
import { notFound } from './problem.ts';
import { type Call, get, post, type Route, reply } from './routing.ts';
import { isServiceName, SERVICE_NAMES, type ServiceName } from './service-names.ts';
import { SqliteObject, single } from './storage.ts';

/** Milliseconds that a service can be made to wait at most: longer than any caller's patience. */
const DELAY_MAX_MS = 120_000;

const share = z.number().min(0, 'must be from 0 to 1').max(1, 'must be from 0 to 1');

/** What can be wrong with a service. Everything that is switched on applies at once. */
const faultSchema = z.strictObject({
  /** The share of calls that are refused with 503 before the service sees them. */
  errorRate: share.exactOptional(),
  /** The share of calls that the service carries out and whose answer is then lost. */
  loseAnswerRate: share.exactOptional(),
  /** How long every call waits first. */
  delayMs: z.int().min(0).max(DELAY_MAX_MS).exactOptional(),
  /** Whether every call is refused with 503. */
  outage: z.boolean().exactOptional(),
  /** What is answered with status 200 in the service's place. */
  wrongAnswer: z.enum(['html', 'other-json', 'ok-with-error', 'huge', 'endless']).exactOptional(),
});

/** What is switched on for a service. */
export type Fault = z.infer<typeof faultSchema>;

/** Keeps the faults that are switched on: one object, so that a switch holds for the very next call everywhere. */
export class FaultsObject extends SqliteObject {
  protected override readonly tables =
    'CREATE TABLE faults (service TEXT PRIMARY KEY, fault TEXT NOT NULL) WITHOUT ROWID';
  #faults: Map<string, Fault> | null = null;

  /** The fault of a service, null when it works. */
  faultOf(service: ServiceName): Fault | null {
    return this.#all().get(service) ?? null;
  }

  /** The faults of all services that have one. */
  list(): Record<string, Fault> {
    return Object.fromEntries(this.#all());
  }

  /** Switches a fault on, in place of the one before; null switches it off. */
  set(service: ServiceName, fault: Fault | null): void {
    this.#faults = null;
    this.write(() => {
      if (fault === null) this.sql.exec('DELETE FROM faults WHERE service = ?', service);
      else this.sql.exec('REPLACE INTO faults (service, fault) VALUES (?, ?)', service, JSON.stringify(fault));
    });
  }

  #all(): Map<string, Fault> {
    if (this.#faults) return this.#faults;
    const faults = new Map<string, Fault>();
    if (this.hasTables) {
      for (const row of this.sql.exec<{ service: string; fault: string }>('SELECT service, fault FROM faults')) {
        faults.set(row.service, faultSchema.parse(JSON.parse(row.fault)));
      }
    }
    this.#faults = faults;
    return faults;
  }
}

function named({ params: { service = '' } }: Call): readonly ServiceName[] {
  if (service === 'all') return SERVICE_NAMES;
  return isServiceName(service) ? [service] : [];
}

async function set(call: Call, fault: Fault | null): Promise<boolean> {
  const services = named(call);
  for (const service of services) await single(call.env.FAULTS).set(service, fault);
  return services.length > 0;
}

const UNKNOWN = notFound(`such service; there are ${SERVICE_NAMES.join(', ')}, and all for every one of them`);

/** The switches. No real ChittyOS service has anything like them. */
export const faultRoutes: readonly Route[] = [
  get('/faults', noQuery, async ({ env }) => reply({ faults: await single(env.FAULTS).list() })),
  post(
    '/faults/:service',
    faultSchema,
    async (call, fault) => ((await set(call, fault)) ? reply({ services: named(call), fault }) : UNKNOWN),
    { method: 'PUT' },
  ),
  {
    method: 'DELETE',
    path: '/faults/:service',
    handle: async (call) => ((await set(call, null)) ? { status: 204, text: '' } : UNKNOWN),
  },
];
