import type { DeliveryReport } from '../../actors/outbox.ts';
import type { Env } from '../env.ts';
import type { OutgoingEvent } from './cloud-event.ts';
import { originOf } from './stream-object.ts';

/** How long what became of one destination waits for the other, so that one report tells of both. */
const TOGETHER_MS = 50;

/**
 * Tells one stream's object what became of its messages: of each destination in the order of the messages, and as soon
 * as it is known, because one service must not wait for what another has made of them.
 */
export class Reporter {
  readonly #env: Env;
  readonly #event: Pick<OutgoingEvent, 'source' | 'subject'>;
  #waiting: (readonly [string, DeliveryReport])[] = [];
  readonly #isComplete = Promise.withResolvers<void>();
  #sending: Promise<void> | null = null;

  /** @param event any of the stream's */
  constructor(env: Env, event: Pick<OutgoingEvent, 'source' | 'subject'>) {
    this.#env = env;
    this.#event = event;
  }

  /** Takes what became of a message at one destination. */
  note(destination: string, report: DeliveryReport): void {
    const before = this.#waiting.findLast(([name]) => name === destination);
    const whole = before && together(before[1], report);
    if (before && whole) this.#waiting = this.#waiting.map((each) => (each === before ? [destination, whole] : each));
    else this.#waiting.push([destination, report]);
    this.#sending ??= this.#send();
  }

  /** Says that no more will be noted. @returns when all of it was told, or could not be */
  async complete(): Promise<void> {
    this.#isComplete.resolve();
    await this.#sending;
  }

  async #send(): Promise<void> {
    await Promise.race([this.#isComplete.promise, scheduler.wait(TOGETHER_MS)]);
    while (this.#waiting.length > 0) {
      try {
        await originOf(this.#env, this.#event).reportDelivery(this.#next());
      } catch {
        // The object will send again what it has no report of; every service knows an event it has had.
      }
    }
    this.#sending = null;
  }

  /** The earliest that waits of each destination. */
  #next(): Record<string, DeliveryReport> {
    const reports: Record<string, DeliveryReport> = {};
    for (const [destination, report] of this.#waiting.splice(0)) {
      if (destination in reports) this.#waiting.push([destination, report]);
      else reports[destination] = report;
    }
    return reports;
  }
}

/** One report in place of two of the same destination; null when it takes both to tell. */
function together(before: DeliveryReport, next: DeliveryReport): DeliveryReport | null {
  if (before.failed !== undefined || next.failed !== undefined) return null;
  if (next.generation !== before.generation) return null;
  if (next.first > before.last + 1 || next.last < before.last) return null;
  return { ...next, first: Math.min(before.first, next.first) };
}
