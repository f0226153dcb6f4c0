import { setTimeout as pause } from 'node:timers/promises';
import { ask } from './ask.ts';
import type { Random } from './random.ts';
import type { Target } from './writers.ts';

/** What goes wrong downstream. */
const KINDS = [
  'DNA down',
  'Chronicle flapping',
  'slow registry',
  'wrong answers',
  'lost answers',
  'refused calls',
] as const;

/** One of the things that go wrong downstream. */
export type Disturbance = (typeof KINDS)[number];

/** Disturbances of one round: so that they meet, and a short run has them all. */
const PER_ROUND = 2;

const SERVICES = ['id', 'auth', 'registry', 'dna', 'verify', 'certify', 'chronicle'] as const;
type Service = (typeof SERVICES)[number];

const WRONG_ANSWERS = ['html', 'other-json', 'ok-with-error', 'huge', 'endless'] as const;

/** What the embedded services can be told to do wrong (embedded/README.md, "Faults"). */
interface Fault {
  readonly outage?: boolean;
  readonly errorRate?: number;
  readonly loseAnswerRate?: number;
  readonly delayMs?: number;
  readonly wrongAnswer?: (typeof WRONG_ANSWERS)[number];
}

/** Gives out disturbances in a random order, every one before any comes again. */
export class Deck {
  #left: Disturbance[] = [];

  /** The disturbances of the next round. */
  draw(random: Random): Disturbance[] {
    return Array.from({ length: PER_ROUND }, () => {
      if (this.#left.length === 0) this.#left = [...KINDS];
      const [drawn = KINDS[0]] = this.#left.splice(random.between(0, this.#left.length - 1), 1);
      return drawn;
    });
  }
}

/** The switches of one server's services. What several disturbances do to one service applies together. */
class Switches {
  readonly #target: Target;
  readonly #faults = new Map<Service, Map<Disturbance, Fault>>();

  constructor(target: Target) {
    this.#target = target;
  }

  /** Has a service do this wrong, and nothing else that this disturbance did to it before. */
  async set(kind: Disturbance, service: Service, fault: Fault): Promise<void> {
    const faults = this.#faults.get(service) ?? new Map<Disturbance, Fault>();
    this.#faults.set(service, faults.set(kind, fault));
    await send(this.#target, 'PUT', service, Object.assign({}, ...faults.values()));
  }
}

/** Switches a disturbance on, and gives what it does from then on: null when it only stays as it is. */
type Play = (
  set: (service: Service, fault: Fault) => Promise<void>,
  random: Random,
) => Promise<((signal: AbortSignal) => Promise<void>) | null>;

const PLAYS: Readonly<Record<Disturbance, Play>> = {
  async 'DNA down'(set, random) {
    await set('dna', { outage: true });
    const downMs = random.between(50, 2_000);
    return async (signal) => {
      await pause(downMs, undefined, { signal });
      await set('dna', {});
    };
  },
  async 'Chronicle flapping'(set, random) {
    await set('chronicle', { outage: true });
    return async (signal) => {
      for (let outage = false; ; outage = !outage) {
        await pause(random.between(20, 300), undefined, { signal });
        await set('chronicle', { outage });
      }
    };
  },
  async 'slow registry'(set, random) {
    // Callers wait 5 s at most: some of these are too slow for them.
    await set('registry', { delayMs: random.between(200, 7_000) });
    return null;
  },
  async 'wrong answers'(set, random) {
    const wrongAnswer = random.pick([...WRONG_ANSWERS]);
    for (const service of some(random)) await set(service, { wrongAnswer });
    return null;
  },
  async 'lost answers'(set, random) {
    // The authority always: what it minted and nobody heard of must not be minted again.
    const services = new Set<Service>(['id', ...some(random)]);
    for (const service of services) await set(service, { loseAnswerRate: random.between(2, 8) / 10 });
    return null;
  },
  async 'refused calls'(set, random) {
    for (const service of SERVICES) await set(service, { errorRate: random.between(1, 6) / 10 });
    return null;
  },
};

/** About half of the services, at least one. */
function some(random: Random): Service[] {
  const chosen = SERVICES.filter(() => random.chance(0.5));
  return chosen.length > 0 ? chosen : [random.pick([...SERVICES])];
}

/** What is wrong downstream, until it is ended; what is switched then stays so. */
export interface Disturbed {
  /** Lets nothing more be switched. Rejects when a switch did not work before that. */
  end(): Promise<void>;
}

/**
 * Has things go wrong in the embedded services. When it resolves, all of them have begun.
 *
 * @throws when the switches do not answer
 */
export async function disturb(target: Target, kinds: readonly Disturbance[], random: Random): Promise<Disturbed> {
  await mend(target);
  const switches = new Switches(target);
  const stop = new AbortController();
  const plays: Promise<void>[] = [];
  for (const kind of kinds) {
    const goOn = await PLAYS[kind]((service, fault) => switches.set(kind, service, fault), random.fork(kind));
    if (goOn === null) continue;
    const play = goOn(stop.signal).catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    });
    // Heard of when it is ended; until then nobody waits for it.
    play.catch(() => undefined);
    plays.push(play);
  }
  return {
    async end() {
      stop.abort();
      await Promise.all(plays);
    },
  };
}

/** Has everything downstream work again. @throws when the switches do not answer */
export async function mend(target: Target): Promise<void> {
  await send(target, 'DELETE', 'all');
}

async function send(target: Target, method: 'PUT' | 'DELETE', service: string, json?: Fault): Promise<void> {
  const path = `/embedded/faults/${service}`;
  const response = await ask(target, path, { method, ...(json && { json }) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
}
