import { z } from 'zod';
import { CONTEXT_PREFIX } from '../../events/context.ts';
import { derivedId } from '../../events/id.ts';
import { BOOTSTRAP_ACTOR } from '../../src/auth/bootstrap-actor.ts';
import type { Change, Ledger, TrackedContext } from './ledger.ts';
import type { Random } from './random.ts';

/** A request without an answer for so long is given up; the server answers within milliseconds. */
const ANSWER_TIMEOUT_MS = 20_000;

/** Events of a history of which something can be moved: a segment has 256 at least, and the last one stays. */
const LONG_EVENTS = 257;

const archived = z.object({ segments: z.int() });

/** Where the server is and how to be let in. */
export interface Target {
  readonly url: string;
  readonly apiKey: string;
}

/** Counts over the whole run. */
export interface Counts {
  requests: number;
  acknowledged: number;
  refused: number;
  unanswered: number;
  /** Keyed changes that had no answer at first and got one after a restart. */
  settled: number;
  /** Changes that were sent again although they had been answered, or twice at once. */
  repeated: number;
  /** Segments of older events that were moved into the bucket, as far as that was answered. */
  moved: number;
}

/** A change on its way, with its context: null while a creation without a key has no answer. */
interface Sending {
  readonly context: TrackedContext | null;
  readonly change: Change;
}

/** Sends changes and notes what comes of them. One for the whole run: it remembers what has to be sent again. */
export class Client {
  readonly counts: Counts = {
    requests: 0,
    acknowledged: 0,
    refused: 0,
    unanswered: 0,
    settled: 0,
    repeated: 0,
    moved: 0,
  };
  readonly #ledger: Ledger;
  readonly #run: string;
  readonly #unsettled = new Map<Change, Sending>();
  #markers = 0;

  /** @param run makes keys and markers unique among runs */
  constructor(ledger: Ledger, run: string) {
    this.#ledger = ledger;
    this.#run = run;
  }

  /** How many changes with a key still have no answer. */
  get unsettled(): number {
    return this.#unsettled.size;
  }

  /** Asks for a new context. @returns its entry, null when there was no answer */
  async create(target: Target, withKey: boolean, description: string): Promise<TrackedContext | null> {
    const marker = this.#marker();
    const key = withKey ? `key-${marker}` : null;
    const body = JSON.stringify({ name: `Context ${marker}`, description, metadata: { marker } });
    const change = newChange({ kind: 'create', marker, key, body, ifMatch: null, sentAfter: 0 });
    const context = key === null ? null : this.#ledger.context(derivedId(CONTEXT_PREFIX, `${BOOTSTRAP_ACTOR} ${key}`));
    if (context) this.#ledger.asked(context, change);
    return this.#deliver(target, { context, change }, 1);
  }

  /** Asks for a change of a context. @returns whether it was answered */
  async change(
    target: Target,
    context: TrackedContext,
    kind: 'patch' | 'delete' | 'restore',
    options: ChangeOptions,
  ): Promise<boolean> {
    const marker = this.#marker();
    const change = newChange({
      kind,
      marker,
      key: options.withKey ? `key-${marker}` : null,
      ifMatch: options.ifMatch,
      body: kind === 'patch' ? JSON.stringify({ description: options.description, metadata: { marker } }) : null,
      sentAfter: context.acknowledged,
    });
    this.#ledger.asked(context, change);
    const copies = options.withKey && options.twice ? 2 : 1;
    this.counts.repeated += copies - 1;
    return (await this.#deliver(target, { context, change }, copies)) !== null;
  }

  /** Sends a change that was answered before once more: it must get the same answer, however long ago that was. */
  async repeat(target: Target, context: TrackedContext, random: Random): Promise<boolean> {
    const [first, ...others] = context.changes.filter((change) => change.key && change.outcome === 'acknowledged');
    if (!first) return true;
    this.counts.repeated += 1;
    return (await this.#deliver(target, { context, change: random.pick([first, ...others]) }, 1)) !== null;
  }

  /** Sends the changes that had no answer again, with their own keys, until one has none again. */
  async settle(target: Target): Promise<void> {
    for (const sending of [...this.#unsettled.values()]) {
      if ((await this.#deliver(target, sending, 1)) === null) return;
      this.counts.settled += 1;
    }
  }

  /** Has what can be moved of a long history moved into segments. @returns whether it was answered */
  async archive({ url, apiKey }: Target, random: Random): Promise<boolean> {
    const [first, ...others] = [...this.#ledger.contexts.values()].filter((each) => each.acknowledged >= LONG_EVENTS);
    if (!first) return true;
    const context = random.pick([first, ...others]);
    // It is looked at after the kill, whatever came of this.
    context.touched = true;
    const path = `/v1/admin/streams/context/${context.id}/archive`;
    try {
      const headers = { Authorization: `Bearer ${apiKey}` };
      const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
      const response = await fetch(url + path, { method: 'POST', headers, signal });
      const text = await response.text();
      if (response.status === 503) return true;
      if (response.status !== 200) this.#ledger.violations.push(`${path} was answered ${response.status}: ${text}`);
      else this.counts.moved += archived.parse(JSON.parse(text)).segments;
      return true;
    } catch {
      return false;
    }
  }

  #marker(): string {
    this.#markers += 1;
    return `${this.#run}-${this.#markers}`;
  }

  /** Sends a change, several times at once if told so, and notes what came of it. @returns null when nothing did */
  async #deliver(target: Target, sending: Sending, copies: number): Promise<TrackedContext | null> {
    const { context, change } = sending;
    this.counts.requests += copies;
    const answers = await Promise.all(Array.from({ length: copies }, () => request(target, sending)));
    const answered = answers.filter((answer): answer is Answer => answer !== null);
    const successes = answered.filter(({ status }) => status < 300);
    const refusals = answered.filter(({ status }) => status >= 300);
    for (const { status, body } of refusals) {
      const isExpected = (status === 409 || status === 412) && change.kind !== 'create';
      if (!isExpected) this.#ledger.violations.push(`${nameOf(change)} was answered ${status}: ${body}`);
    }
    if (answers.includes(null)) this.counts.unanswered += 1;
    const [success] = successes;
    if (success) {
      const known = context ?? this.#ledger.context(success.id);
      if (context === null) this.#ledger.asked(known, change);
      // Of two copies the first can be refused and the second done, when something else came in between.
      for (const { version, body } of successes) {
        this.#ledger.acknowledged(known, change, version, change.kind === 'delete' ? null : body);
      }
      this.#unsettled.delete(change);
      this.counts.acknowledged += 1;
      return known;
    }
    const [refusal] = refusals;
    if (refusal && context && !answers.includes(null)) {
      this.#ledger.refused(context, change, refusal.status);
      this.#unsettled.delete(change);
      this.counts.refused += 1;
      return context;
    }
    if (context === null) this.#ledger.lostCreations += 1;
    if (change.key !== null && change.outcome === 'unanswered') this.#unsettled.set(change, sending);
    return null;
  }
}

/** How a change is sent. */
export interface ChangeOptions {
  readonly withKey: boolean;
  readonly ifMatch: number | null;
  /** Whether a second copy goes out at the same time; only with a key. */
  readonly twice: boolean;
  readonly description: string;
}

interface Answer {
  readonly status: number;
  /** Null when the connection broke before the end. */
  readonly body: string | null;
  /** From ETag; NaN when there is none. */
  readonly version: number;
  /** From Location; empty when there is none. */
  readonly id: string;
}

/** Sends one request. @returns null when there was no answer, or only that the server is too busy */
async function request(target: Target, sending: Sending): Promise<Answer | null> {
  const { change } = sending;
  try {
    const response = await fetch(target.url + pathOf(sending), {
      method: METHODS[change.kind],
      headers: headersOf(change, target),
      body: change.body,
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    const body = await response.text().catch(() => null);
    if (response.status === 503) return null;
    return {
      status: response.status,
      body,
      version: Number(/^"(\d+)"$/.exec(response.headers.get('ETag') ?? '')?.[1]),
      id: response.headers.get('Location')?.split('/').at(-1) ?? '',
    };
  } catch {
    return null;
  }
}

function nameOf(change: Change): string {
  return `${change.kind} ${change.marker}`;
}

const METHODS = { create: 'POST', patch: 'PATCH', delete: 'DELETE', restore: 'POST' } as const;

function newChange(fields: Omit<Change, 'outcome' | 'version' | 'answerDigest'>): Change {
  return { ...fields, outcome: 'unanswered', version: null, answerDigest: null };
}

function pathOf({ context, change }: Sending): string {
  if (change.kind === 'create' || context === null) return '/v1/contexts';
  return `/v1/contexts/${context.id}${change.kind === 'restore' ? '/restore' : ''}`;
}

function headersOf(change: Change, { apiKey }: Target): Record<string, string> {
  return {
    Authorization: `Bearer ${apiKey}`,
    'X-Request-Id': change.marker,
    ...(change.body !== null && { 'Content-Type': 'application/json' }),
    ...(change.key !== null && { 'Idempotency-Key': change.key }),
    ...(change.ifMatch !== null && { 'If-Match': `"${change.ifMatch}"` }),
  };
}
