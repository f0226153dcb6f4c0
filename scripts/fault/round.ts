import { setTimeout as pause } from 'node:timers/promises';
import type { TrackedContext } from './ledger.ts';
import type { Random } from './random.ts';
import type { Client, Target } from './writers.ts';

/** Contexts that are written to at the same time. */
const CONTEXTS = 4;
/** Writers of each of them. */
const WRITERS_PER_CONTEXT = 4;
/** Events after which a context is left alone and a new one takes its place: several snapshots (one per 100) long. */
const EVENTS_PER_CONTEXT = 450;
/** Pauses between two moves of older events, in milliseconds. */
const ARCHIVE_PAUSE_MS = 20;
/** Characters of a long description. */
const DESCRIPTION_MAX = 600;

/** The contexts that are written to, by the slot that their writers share. */
export class Writers {
  readonly #client: Client;
  readonly #slots: (TrackedContext | undefined)[] = Array.from({ length: CONTEXTS }, () => undefined);

  constructor(client: Client) {
    this.#client = client;
  }

  /** Lets all writers write until `signal` says so or the server stops answering. */
  async write(target: Target, random: Random, signal: AbortSignal): Promise<void> {
    const writers = this.#slots.flatMap((_, slot) =>
      Array.from({ length: WRITERS_PER_CONTEXT }, (_, writer) =>
        this.#writer(target, slot, random.fork(`writer ${slot} ${writer}`), signal),
      ),
    );
    const written = new AbortController();
    const archiving = this.#archiver(target, random.fork('archiver'), AbortSignal.any([signal, written.signal]));
    // The archiver may have nothing to ask for, and so not notice that the server is gone.
    await Promise.all([this.#client.settle(target), ...writers]).finally(() => written.abort());
    await archiving;
  }

  /** Has older events moved all the time: a kill finds it anywhere between two steps. */
  async #archiver(target: Target, random: Random, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!(await this.#client.archive(target, random))) return;
      await pause(ARCHIVE_PAUSE_MS);
    }
  }

  async #writer(target: Target, slot: number, random: Random, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const context = this.#slots[slot];
      if (context === undefined || context.acknowledged >= EVENTS_PER_CONTEXT) {
        const created = await this.#client.create(target, random.chance(0.5), description(random));
        if (created === null) return;
        // Of the writers that came here together, the last one's context stays; those of the others are short ones.
        this.#slots[slot] = created;
      } else if (!(await this.#operate(target, context, random))) return;
    }
  }

  /** One random operation. @returns whether it was answered */
  async #operate(target: Target, context: TrackedContext, random: Random): Promise<boolean> {
    const dice = random.next();
    const withKey = random.chance(0.5);
    const options = { withKey, ifMatch: null, twice: random.chance(0.2), description: description(random) };
    if (dice < 0.04) return (await this.#client.create(target, withKey, description(random))) !== null;
    if (dice < 0.09) return this.#client.repeat(target, context, random);
    if (dice < 0.105) {
      const deleted = await this.#client.change(target, context, 'delete', options);
      return deleted && this.#client.change(target, context, 'restore', options);
    }
    if (dice < 0.12) return this.#client.change(target, context, 'restore', options);
    if (dice < 0.4) {
      // Mostly right, sometimes stale already; with several writers on a context many are by the time they arrive.
      const ifMatch = Math.max(1, context.acknowledged - (random.chance(0.1) ? 1 : 0));
      return this.#client.change(target, context, 'patch', { ...options, ifMatch });
    }
    return this.#client.change(target, context, 'patch', options);
  }
}

function description(random: Random): string {
  return random.chance(0.9) ? 'Größe 😀' : 'x'.repeat(random.between(1, DESCRIPTION_MAX));
}
