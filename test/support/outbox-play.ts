import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect } from 'vitest';
import { OutboxWorld } from './outbox-world.ts';

/** How long a message is on its way until its delivery is reported: the queue waits a second for company. */
export const DELIVERY_MS = 1_200;
/** How long the world is watched after the last change: no alarm comes after this. */
const QUIET_MS = 120_000;
/** How far the clock goes at once at most: less than a message is on its way, so that none is overlooked. */
const STEP_MS = 1_000;
/** Events that a sink takes at once. */
const EVENTS_MAX = 500;

/** What some changes of a stream came to. */
export interface Outcome {
  /** Rows written in the object, those of the events included. */
  readonly rows: number;
  /** Upserts into the read models. */
  readonly upserts: number;
  readonly messages: number;
  /** For each change, milliseconds until the read models had it, and until a destination behind the queue had. */
  readonly directLags: readonly number[];
  readonly queueLags: readonly number[];
}

/**
 * Changes a stream of its own at the given times (milliseconds) while all around it works, and watches until it is
 * quiet. Needs fake timers.
 *
 * @param before changes that are made first and do not count; the others come `pauseMs` after the last of these
 */
export function play(
  name: string,
  times: readonly number[],
  { before = [], pauseMs = QUIET_MS }: { readonly before?: readonly number[]; readonly pauseMs?: number } = {},
): Promise<Outcome> {
  return runInDurableObject(env.COUNTERS.get(env.COUNTERS.idFromName(name)), async (_object, { storage }) => {
    const world = new OutboxWorld(storage.sql, EVENTS_MAX);
    const player = new Player(world);
    const startsAt = before.length > 0 ? (before.at(-1) ?? 0) + pauseMs : 0;
    await player.until(startsAt, before);
    const { rows } = world;
    const { direct, queue } = world.deliveries;
    const counted = times.map((time) => startsAt + time);
    await player.until((counted.at(-1) ?? 0) + QUIET_MS, counted);
    for (const [destination, { confirmed }] of world.outbox.cursors) {
      expect([destination, confirmed]).toEqual([destination, world.version]);
    }
    const lags = (destination: string) => {
      const reachedAt = world.receivedAt.get(destination)?.slice(before.length) ?? [];
      return counted.map((time, index) => (reachedAt[index] ?? Number.POSITIVE_INFINITY) - player.startedAt - time);
    };
    return {
      rows: world.rows - rows,
      upserts: world.deliveries.direct - direct,
      messages: world.deliveries.queue - queue,
      directLags: lags('direct'),
      queueLags: lags('fast'),
    };
  });
}

/** Lets time pass in a world. */
class Player {
  readonly startedAt = Date.now();
  readonly #world: OutboxWorld;
  /** When the messages arrive that are on their way. */
  readonly #arrivals: number[] = [];

  constructor(world: OutboxWorld) {
    this.#world = world;
    world.onSend = () => this.#arrivals.push(Date.now() + DELIVERY_MS);
  }

  /** Goes on to a time after the start, with changes at some times before it, which come in their order. */
  async until(end: number, changes: readonly number[]): Promise<void> {
    const world = this.#world;
    const left = changes.map((time) => this.startedAt + time);
    for (let now = Date.now(); now < this.startedAt + end; now = Date.now()) {
      while (left[0] !== undefined && left[0] <= now) {
        left.shift();
        await world.append(1);
      }
      this.#arrive(now);
      const next = [left[0], this.#arrivals[0], world.alarmAt, this.startedAt + end, now + STEP_MS];
      await world.tick(Math.max(1, Math.min(...next.map((time) => time ?? Number.POSITIVE_INFINITY)) - now));
    }
  }

  #arrive(now: number): void {
    const { messages, reports, outbox } = this.#world;
    while (this.#arrivals[0] !== undefined && this.#arrivals[0] <= now) {
      this.#arrivals.shift();
      for (const message of messages.splice(0, 1)) this.#world.consume(message);
    }
    for (const report of reports.splice(0)) outbox.report(report);
  }
}
