import type { Envelope } from '../events/envelope.ts';
import type { DeliveryEnd, Webhook, WebhookState } from './webhook.ts';
import { type Attempt, type AttemptCause, Attempts } from './webhook-attempts.ts';
import { type Lane, Lanes } from './webhook-lanes.ts';
import type { AttemptResult } from './webhook-outcome.ts';
import { type Replay, Replays } from './webhook-replays.ts';
import { nextAttemptAt, RETRY_AFTER_MAX_MS } from './webhook-retry.ts';
import { type SealedSecret, SealedSecrets } from './webhook-secrets.ts';

/** Contexts whose events are sent to one receiver at the same time. */
const PARALLEL = 8;
/** Contexts that fail before no other is begun with: the receiver is out of order, not what it is sent. */
const FAILING_MAX = 8;
/** Events that are read at once, and how long they are gone by: a right that was lost holds from then on. */
const CHUNK_EVENTS = 20;
const CHUNK_FRESH_MS = 1_000;
/** Parts of the feed that are looked at for one part of a replay. */
const REPLAY_ROWS = 50;
/** How long a step begins with something new, in milliseconds; what is under way then is waited for. */
const STEP_MS = 20_000;
/** How long it goes on step by step before it lets the alarm ring anew: the platform ends one that rings for too long. */
const BURST_MS = 5 * 60_000;
/** How soon it is tried again when not the receiver is out of order but what it is sent from, in milliseconds. */
const AGAIN_MS = 5_000;
/** The same while the owner is suspended, or the secrets cannot be opened. */
const STANDSTILL_MS = 60_000;
/** Characters of the reason for which a webhook is disabled. */
const DETAIL_MAX = 200;

/** Events of one context that stand in the feed together, up to a position. */
interface FeedNews {
  readonly position: number;
  readonly context: string;
  readonly first: number;
  readonly last: number;
}

/** What was found in the feed. */
export interface NewsPart {
  readonly news: readonly FeedNews[];
  /** Up to where it was looked through. */
  readonly position: number;
  readonly isUpToDate: boolean;
}

/** Something to send. */
export interface Message {
  /** What it is known by, the same each time: `webhook-id`. */
  readonly id: string;
  readonly body: string;
  readonly url: string;
  /** What signs it, oldest first. */
  readonly secrets: readonly SealedSecret[];
  /** The id of the webhook that they belong to. */
  readonly webhook: string;
}

/** What a delivery needs of the world. */
export interface DeliveryPorts {
  /** What the owner is now; null when there is none (any more). */
  ownerStatus(owner: string): Promise<'active' | 'suspended' | null>;
  /** What is new after a position, for the owner with their present rights. */
  news(webhook: Webhook, after: number, limit: number): Promise<NewsPart>;
  /**
   * The events of a context after a version, as sealed texts; none when the owner may not read them (any more), null when
   * the owner is suspended, who may read them again.
   */
  events(webhook: Webhook, context: string, after: number, limit: number): Promise<readonly string[] | null>;
  /** What is sent of an event. */
  messageOf(webhook: string, text: string): { readonly id: string; readonly body: string };
  /** Sends it. @returns null when it cannot be signed */
  post(message: Message): Promise<AttemptResult | null>;
}

/** What a delivery says of itself. The JSON that clients see. */
export type DeliveryStatus = {
  /** Contexts with events that were sent in vain and are sent again. */
  readonly failing: number;
  readonly replays: number;
  /** When it goes on, null when nothing waits. */
  readonly nextAttemptAt: string | null;
  readonly lastDeliveredAt: string | null;
};

/**
 * Sends what the owner of a webhook may read to its address: each context's events in their order and at least once. It
 * works in steps, which the object's process makes, and all that it has to remember is on disk before it is relied on.
 */
export class WebhookDelivery {
  readonly lanes: Lanes;
  readonly replays: Replays;
  readonly attempts: Attempts;
  readonly secrets: SealedSecrets;
  readonly #ports: DeliveryPorts;
  /** As it is now, also when it has changed during a step. */
  readonly #webhook: () => WebhookState;
  /** There may be more in the feed. */
  #isBehind = true;
  /** Before this nothing is tried, in milliseconds since 1970. */
  #notBefore = 0;
  #burstSince = 0;
  #lastStepAt = 0;

  constructor(sql: SqlStorage, ports: DeliveryPorts, webhook: () => WebhookState) {
    this.lanes = new Lanes(sql);
    this.replays = new Replays(sql);
    this.attempts = new Attempts(sql);
    this.secrets = new SealedSecrets(sql);
    this.#ports = ports;
    this.#webhook = webhook;
  }

  /** Says that there may be something new. */
  wake(): void {
    this.#isBehind = true;
  }

  /** When there is something to do, in milliseconds since 1970; null when there is nothing. */
  nextAt(now: number): number | null {
    const next = this.#nextAt();
    if (next === null || next > now) return next;
    // Work that comes after a rest begins a new burst.
    if (now - this.#lastStepAt > STEP_MS * 2) this.#burstSince = now;
    if (now - this.#burstSince < BURST_MS) return now;
    this.#burstSince = now;
    return now + 1;
  }

  #nextAt(): number | null {
    const { pausedUntil } = this.lanes.progress;
    const times = [
      ...(this.#isBehind ? [0] : []),
      ...this.#eligible().map(({ retryAt }) => Math.max(retryAt, pausedUntil)),
      ...this.replays.open.slice(0, 1).map(({ retryAt }) => Math.max(retryAt, pausedUntil)),
    ];
    return times.length === 0 ? null : Math.max(Math.min(...times), this.#notBefore);
  }

  /** Does what is due. @returns why nothing more is to be sent, null when more may be */
  async step(): Promise<DeliveryEnd | null> {
    const webhook = this.#active();
    if (webhook === null) return null;
    const now = Date.now();
    if (webhook.expiresAt !== null && Date.parse(webhook.expiresAt) <= now) return { reason: 'expired', detail: null };
    try {
      const owner = await this.#ports.ownerStatus(webhook.owner);
      if (owner === null) return { reason: 'owner_deleted', detail: null };
      if (owner === 'suspended') {
        this.#isBehind = true;
        return this.#standStill();
      }
      await this.#readFeed(webhook);
      return await this.#deliver(now + STEP_MS);
    } catch (error) {
      console.error(
        JSON.stringify({ level: 'error', message: `${webhook.id} could not deliver`, error: String(error) }),
      );
      this.#isBehind = true;
      this.#notBefore = Date.now() + AGAIN_MS;
      return null;
    } finally {
      this.#lastStepAt = Date.now();
    }
  }

  /** Sends a message by itself. @returns null when it cannot be signed */
  async send(
    webhook: Webhook,
    message: { readonly id: string; readonly body: string },
    about: Pick<Attempt, 'cause' | 'type' | 'stream' | 'version' | 'attempt'>,
  ): Promise<{ readonly attempt: Attempt; readonly result: AttemptResult } | null> {
    const time = new Date().toISOString();
    const living = webhook.secrets.filter(({ endsAt }) => endsAt === null || endsAt > time).map(({ id }) => id);
    const secrets = this.secrets.get(living);
    const result = await this.#ports.post({ ...message, url: webhook.url, secrets, webhook: webhook.id });
    if (result === null) return null;
    if (result.outcome === 'delivered') this.lanes.noteDelivered(Date.now());
    return { attempt: this.attempts.note({ ...about, message: message.id, time }, result), result };
  }

  /** What it says of itself. */
  status(): DeliveryStatus {
    const { deliveredAt } = this.lanes.progress;
    const next = this.#active() && this.#nextAt();
    return {
      failing: [...this.lanes.behind.values()].filter(({ attempts }) => attempts > 0).length,
      replays: this.replays.open.length,
      nextAttemptAt: next === null ? null : new Date(Math.max(next, Date.now())).toISOString(),
      lastDeliveredAt: deliveredAt === 0 ? null : new Date(deliveredAt).toISOString(),
    };
  }

  #active(): Webhook | null {
    const webhook = this.#webhook();
    return webhook?.status === 'active' ? webhook : null;
  }

  async #readFeed(webhook: Webhook): Promise<void> {
    if (!this.#isBehind) return;
    // What comes from here on has it look again.
    this.#isBehind = false;
    const part = await this.#ports.news(webhook, this.lanes.progress.position, REPLAY_ROWS * 4);
    // It may have been told to leave something out meanwhile.
    if (this.#webhook()?.version !== webhook.version) {
      this.#isBehind = true;
      return;
    }
    for (const { context, first, last } of part.news) this.lanes.note(context, first, last);
    this.lanes.read(part.position);
    if (!part.isUpToDate) this.#isBehind = true;
  }

  /** The lanes that may be begun with, now or when their time has come. */
  #eligible(): Lane[] {
    const lanes = [...this.lanes.behind.values()];
    const failing = lanes.filter(({ attempts }) => attempts > 0);
    return failing.length < FAILING_MAX ? lanes : failing;
  }

  async #deliver(endsAt: number): Promise<DeliveryEnd | null> {
    const busy = new Set<string>();
    let end: DeliveryEnd | null = null;
    const isOver = () => end !== null || this.#active() === null || Date.now() >= endsAt;
    const due = () => Math.max(this.lanes.progress.pausedUntil, this.#notBefore) <= Date.now();
    const lanes = async () => {
      while (!isOver() && due()) {
        const lane = this.#eligible().find(({ context, retryAt }) => !busy.has(context) && retryAt <= Date.now());
        if (!lane) return;
        busy.add(lane.context);
        end = (await this.#runLane(lane)) ?? end;
        busy.delete(lane.context);
      }
    };
    const replays = async () => {
      while (!isOver() && due()) {
        const [replay] = this.replays.open;
        if (!replay || replay.retryAt > Date.now()) return;
        end = (await this.#runReplay(replay)) ?? end;
      }
    };
    // All are waited for, also when one fails: none may go on when the step is over.
    const ends = await Promise.allSettled([...Array.from({ length: PARALLEL }, lanes), replays()]);
    for (const each of ends) if (each.status === 'rejected') throw each.reason;
    return end;
  }

  async #runLane(lane: Lane): Promise<DeliveryEnd | null> {
    const webhook = this.#active();
    if (webhook === null) return null;
    const limit = Math.min(CHUNK_EVENTS, lane.until - lane.delivered);
    const after = lane.delivered;
    const texts = await this.#ports.events(webhook, lane.context, after, limit);
    const isSkipped = () => lane.delivered !== after || !this.lanes.behind.has(lane.context);
    if (texts === null) return this.#standStill();
    if (isSkipped()) return null;
    if (texts.length === 0) {
      // What may not be read is not delivered, nor later when it may be read again.
      this.lanes.advance(lane, lane.until);
      return null;
    }
    const freshUntil = Date.now() + CHUNK_FRESH_MS;
    let passed = after;
    for (const text of texts) {
      const envelope: Envelope = JSON.parse(text);
      if (isWanted(webhook, envelope)) {
        if (passed > lane.delivered) this.lanes.advance(lane, passed);
        const attempts = lane.attempts + 1;
        const sent = await this.#sendEvent(text, envelope, 'event', attempts);
        if (sent === null || !this.lanes.behind.has(lane.context) || lane.delivered > passed) return null;
        if (sent.outcome !== 'delivered') {
          const retryAt = nextAttemptAt(attempts, sent.retryAfterMs, Date.now());
          this.lanes.fail(lane, Date.now(), retryAt ?? 0);
          return endOf(sent, attempts, retryAt);
        }
        this.lanes.advance(lane, envelope.version);
      }
      passed = envelope.version;
      if (Date.now() > freshUntil) break;
    }
    if (passed > lane.delivered) this.lanes.advance(lane, passed);
    return null;
  }

  async #runReplay(replay: Replay): Promise<DeliveryEnd | null> {
    const webhook = this.#active();
    if (webhook === null) return null;
    const part = await this.#ports.news(webhook, replay.position, REPLAY_ROWS);
    for (const { position, context, first, last: end } of part.news) {
      // The last ones may be behind the range.
      const last = end - Math.max(0, position - replay.upTo);
      if (last < first) break;
      const texts = await this.#ports.events(webhook, context, first - 1, last - first + 1);
      if (texts === null) return this.#standStill();
      for (const text of texts) {
        const envelope: Envelope = JSON.parse(text);
        if (!isWanted(webhook, envelope) || !isBetween(envelope.time, replay)) continue;
        const attempts = replay.attempts + 1;
        const sent = await this.#sendEvent(text, envelope, 'replay', attempts);
        if (sent === null || !this.replays.open.includes(replay)) return null;
        if (sent.outcome !== 'delivered') {
          const retryAt = nextAttemptAt(attempts, sent.retryAfterMs, Date.now());
          this.replays.fail(replay, retryAt ?? 0);
          return endOf(sent, attempts, retryAt);
        }
      }
      this.replays.advance(replay, Math.min(position, replay.upTo));
      if (!this.replays.open.includes(replay)) return null;
    }
    if (this.replays.open.includes(replay)) {
      this.replays.advance(replay, part.isUpToDate ? replay.upTo : Math.min(part.position, replay.upTo));
    }
    return null;
  }

  /** Tries nothing for a while: what is missing is here, not there. */
  #standStill(): null {
    this.#notBefore = Date.now() + STANDSTILL_MS;
    return null;
  }

  /** @returns null when it was not sent, and is to be sent later */
  async #sendEvent(
    text: string,
    { type, stream, version }: Envelope,
    cause: AttemptCause,
    attempt: number,
  ): Promise<AttemptResult | null> {
    const webhook = this.#active();
    if (webhook === null) return null;
    const about = { cause, type, stream, version, attempt };
    const sent = await this.send(webhook, this.#ports.messageOf(webhook.id, text), about);
    if (sent === null) return this.#standStill();
    const { result } = sent;
    if (result.retryAfterMs !== null) {
      this.lanes.pause(Date.now() + Math.min(result.retryAfterMs, RETRY_AFTER_MAX_MS));
    }
    return result;
  }
}

/** Whether a failure was the last one. */
function endOf(result: AttemptResult, attempts: number, retryAt: number | null): DeliveryEnd | null {
  const detail = (result.error ?? '').slice(0, DETAIL_MAX);
  if (result.outcome === 'gone') return { reason: 'gone', detail };
  return retryAt === null
    ? { reason: 'failing', detail: `${attempts} attempts, the last: ${detail}`.slice(0, DETAIL_MAX) }
    : null;
}

/** Whether an event is among those that the webhook gets; that its context is was asked before. */
function isWanted({ types, actors }: Webhook, { type, actor }: Envelope): boolean {
  return (types?.includes(type) ?? true) && (actors?.includes(actor) ?? true);
}

function isBetween(time: string, { from, to }: Replay): boolean {
  return (from === null || time >= from) && (to === null || time < to);
}
