import { isRefusal } from '../../actors/decider.ts';
import type { DeliveryReport } from '../../actors/outbox.ts';
import { SYSTEM } from '../../actors/principal.ts';
import type { Envelope } from '../../events/envelope.ts';
import type { Env } from '../env.ts';
import { type OutgoingEvent, toCloudEvent } from './cloud-event.ts';
import type { Reporter } from './reporter.ts';
import { originOf, type StreamObject } from './stream-object.ts';

/** Streams that one isolate catches up at the same time: of each it holds a few pages. */
const STREAMS_MAX = 6;
/** How long a stream is caught up after one message, in milliseconds: background work ends 30 s after its batch. */
const CATCH_UP_MS = 15_000;
/** When one that was never said to have ended is no longer counted, in milliseconds. */
const FORGOTTEN_MS = 60_000;
/** Events in a page at most; the object makes it shorter when they are long. */
const PAGE_EVENTS = 500;
/** Pages that are kept for the destination that comes to them later. */
const PAGES_KEPT = 3;

/** A stream that grows faster is in use, in events per second: most of the time is then left to what it is used for. */
const IN_USE = 100;
/** How many times as long as the work for one destination each pause is then, and how long at most, in milliseconds. */
const PAUSE = { times: 24, maxMs: 2_000 };
/** Over how long it is seen how fast it grows, in milliseconds: so long is waited before anything is known of it. */
const SEEN_MS = 100;
/** What a pause is at least, in milliseconds: in it requests are read, which workerd does when it has nothing else to do. */
const BREATH_MS = 1;

/** Events that follow each other. */
interface Page {
  readonly events: readonly OutgoingEvent[];
  /** The version of the last of them. */
  readonly last: number;
  /** Whether the log ended there when it was read. */
  readonly isUpToDate: boolean;
}

/** Gives events to a service. @returns what became of them; null when it has no place for them yet */
export type Deliver = (events: readonly OutgoingEvent[]) => Promise<DeliveryReport | null>;

/** The streams that are caught up now, by their source, and when that began. */
const underWay = new Map<string, number>();

/**
 * What a stream has more than its message could carry: fetched from its object in pages and delivered in order, each
 * destination at its own speed, each page reported. So a backlog drains as fast as the services take it, while a message
 * waits in the queue once, and not once for every hundred events. While the stream is changed all the time each destination
 * takes a twenty-fifth of the time, and what it leaves it makes up for when that is over. It ends with the end of the log, with a failure, or
 * when its time is up; if it is lost on the way, the object sends from the last report on.
 */
export class Backlog {
  readonly #object: StreamObject;
  readonly #source: string;
  readonly #dnaId: string | null;
  readonly #reporter: Reporter;
  readonly #endsAt = Date.now() + CATCH_UP_MS;
  /** By the version that they come after. */
  readonly #pages = new Map<number, Promise<Page>>();
  readonly #work: Promise<void>[] = [];
  /** How far the stream was when it was last looked at, and how fast it had grown until then, in events per second. */
  #growth: { readonly version: number; readonly at: number; readonly perSecond: number | null } | null = null;

  private constructor(env: Env, event: OutgoingEvent, reporter: Reporter) {
    this.#object = originOf(env, event);
    this.#source = event.source;
    this.#dnaId = event.dnaid ?? null;
    this.#reporter = reporter;
  }

  /**
   * Begins to catch a stream up. `ended` must be waited for.
   *
   * @param event any of the stream's
   * @returns null when this isolate does so already, or has enough to do: then the object sends the next message
   */
  static begin(env: Env, event: OutgoingEvent, reporter: Reporter): Backlog | null {
    const now = Date.now();
    for (const [source, since] of underWay) if (now - since > FORGOTTEN_MS) underWay.delete(source);
    if (underWay.has(event.source) || underWay.size >= STREAMS_MAX) return null;
    underWay.set(event.source, now);
    return new Backlog(env, event, reporter);
  }

  /** Gives a destination all that comes after what it has just been given. @param begun what was reported of that */
  follow(destination: string, begun: DeliveryReport, deliver: Deliver): void {
    // One whose object cannot be read is sent again when its time is up.
    this.#work.push(this.#follow(destination, begun, deliver).catch(() => undefined));
  }

  /** Waits until all destinations have what they will get. Never rejects. */
  async ended(): Promise<void> {
    await Promise.all(this.#work);
    underWay.delete(this.#source);
  }

  async #follow(destination: string, { first, last, generation }: DeliveryReport, deliver: Deliver): Promise<void> {
    // What was begun before a resend is no matter of the cursor that it set back.
    const about = generation === undefined ? {} : { generation };
    for (let [after, goesOn] = [last, true]; goesOn; ) {
      const page = await this.#page(after);
      goesOn = !page.isUpToDate && Date.now() < this.#endsAt;
      // Read while these are delivered; if that fails, it fails where it is waited for.
      if (goesOn) this.#page(page.last).catch(() => undefined);
      const startedAt = Date.now();
      const report = await deliver(page.events);
      if (report === null) return;
      if (report.failed !== undefined) {
        // What is refused comes once more as a message, which the queue can keep and make a dead letter of.
        this.#reporter.note(destination, { ...report, ...about, isRefused: false });
        return;
      }
      // From the beginning on, so that one report makes up for those before it that were lost.
      this.#reporter.note(destination, { first, last: report.last, ...about, ...(goesOn && { goesOn }) });
      after = page.last;
      if (goesOn) await scheduler.wait(this.#pauseMs(Date.now() - startedAt));
    }
  }

  #page(after: number): Promise<Page> {
    const known = this.#pages.get(after);
    if (known !== undefined) return known;
    const page = this.#read(after);
    this.#pages.set(after, page);
    const [oldest] = this.#pages.keys();
    if (this.#pages.size > PAGES_KEPT && oldest !== undefined) this.#pages.delete(oldest);
    return page;
  }

  async #read(after: number): Promise<Page> {
    const history = await this.#object.history(SYSTEM, after, PAGE_EVENTS);
    if (isRefusal(history) || history.events.length === 0) throw new Error(`${this.#source} ends at ${after}`);
    const { lastVersion, newestVersion, isUpToDate, isClosed } = history;
    this.#noteGrowth(newestVersion, Date.now());
    const events = history.events.map((text): OutgoingEvent => {
      const envelope: Envelope = JSON.parse(text);
      return {
        ...toCloudEvent(envelope, { chittyId: null, dnaId: this.#dnaId }),
        ...(isUpToDate && isClosed && envelope.version === lastVersion && { isdeleted: true as const }),
      };
    });
    return { events, last: lastVersion, isUpToDate };
  }

  /** How long to pause after work of so many milliseconds. */
  #pauseMs(workMs: number): number {
    const perSecond = this.#growth?.perSecond ?? null;
    if (perSecond === null) return SEEN_MS;
    return perSecond > IN_USE ? Math.min(PAUSE.maxMs, PAUSE.times * workMs) : BREATH_MS;
  }

  #noteGrowth(version: number, at: number): void {
    const last = this.#growth;
    if (last === null) this.#growth = { version, at, perSecond: null };
    else if (at >= last.at + SEEN_MS) {
      const perSecond = (Math.max(0, version - last.version) * 1000) / (at - last.at);
      this.#growth = { version, at, perSecond };
    }
  }
}
