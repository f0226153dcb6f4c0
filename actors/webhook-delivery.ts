import type { Envelope } from '../events/envelope.ts';
import type { DeliveryEnd, Webhook, WebhookState } from './webhook.ts';
import { type Attempt, type AttemptCause, Attempts } from './webhook-attempts.ts';
import { runLane } from './webhook-lane-run.ts';
import { type Lane, Lanes } from './webhook-lanes.ts';
import type { AttemptResult } from './webhook-outcome.ts';
import type { DeliveryPorts, UnreadablePlace } from './webhook-ports.ts';
import { runReplay } from './webhook-replay-run.ts';
import { type Replay, Replays } from './webhook-replays.ts';
import { RETRY_AFTER_MAX_MS } from './webhook-retry.ts';
import { SealedSecrets } from './webhook-secrets.ts';
import type { Turn } from './webhook-turn.ts';

/** Contexts whose events are sent to one receiver at the same time. */
const PARALLEL = 8;
/** Contexts that fail before no other is begun with: the receiver is out of order, not what it is sent. */
const FAILING_MAX = 8;
/** Parts of the feed that are looked at together. */
const FEED_ROWS = 200;
/** How long a step begins with something new, in milliseconds; what is under way then is waited for. */
const STEP_MS = 20_000;
/** How long it goes on step by step before it lets the alarm ring anew: the platform ends one that rings for too long. */
const BURST_MS = 5 * 60_000;
/** How soon it is tried again when not the receiver is out of order but what it is sent from, in milliseconds. */
const AGAIN_MS = 5_000;
/** The same while the owner is suspended, or the secrets cannot be opened. */
const STANDSTILL_MS = 60_000;
/** Places that are named where it stands because events cannot be read. */
const NAMED_MAX = 20;

/** What a delivery says of itself. The JSON that clients see. */
export type DeliveryStatus = {
  /** Contexts with events that were sent in vain and are sent again. */
  readonly failing: number;
  readonly replays: number;
  /** Events that cannot be read, and what waits behind them; some of them when there are many. */
  readonly unreadable: readonly UnreadablePlace[];
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
  /** Resolves when there may be something new. */
  #woken = Promise.withResolvers<void>();

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
    this.#woken.resolve();
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
      ...this.#nextReplays().map(({ retryAt }) => Math.max(retryAt, pausedUntil)),
    ];
    return times.length === 0 ? null : Math.max(Math.min(...times), this.#notBefore);
  }

  /** Does what is due. @returns why nothing more is to be sent, null when more may be */
  async step(): Promise<DeliveryEnd | null> {
    const webhook = this.#active();
    if (webhook === null) return null;
    const now = Date.now();
    if (isExpired(webhook, now)) return { reason: 'expired', detail: null };
    try {
      const owner = await this.#ports.ownerStatus(webhook.owner);
      if (owner === null) return { reason: 'owner_deleted', detail: null };
      if (owner === 'suspended') {
        this.#isBehind = true;
        return this.#standStill();
      }
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
      unreadable: [
        ...[...this.lanes.behind.values()].flatMap(({ context, delivered, unreadable }) =>
          unreadable === null ? [] : [{ context, version: delivered + 1, reason: unreadable }],
        ),
        // One whose turn has not come was last tried who knows when.
        ...this.#nextReplays().flatMap(({ unreadable }) => unreadable ?? []),
      ].slice(0, NAMED_MAX),
      nextAttemptAt: next === null ? null : new Date(Math.max(next, Date.now())).toISOString(),
      lastDeliveredAt: deliveredAt === 0 ? null : new Date(deliveredAt).toISOString(),
    };
  }

  #active(): Webhook | null {
    const webhook = this.#webhook();
    return webhook?.status === 'active' ? webhook : null;
  }

  async #readFeed(): Promise<null> {
    const webhook = this.#active();
    if (webhook === null) return null;
    // What comes from here on has it look again.
    this.#isBehind = false;
    const { position, begin } = this.lanes.progress;
    const part = await this.#ports.news(webhook, position, FEED_ROWS, { from: begin, to: null });
    // It may have been told to leave something out meanwhile.
    if (this.#webhook()?.version !== webhook.version) {
      this.#isBehind = true;
      return null;
    }
    for (const { context, first, last } of part.news) this.lanes.note(context, first, last);
    this.lanes.read(part.position);
    if (!part.isUpToDate) this.#isBehind = true;
    return null;
  }

  /** The lanes that may be begun with, now or when their time has come. */
  #eligible(): Lane[] {
    const lanes = [...this.lanes.behind.values()];
    const begun = lanes.filter(({ attempts }) => attempts > 0);
    // What cannot be read now says nothing of the receiver, whatever became of it before.
    const failing = begun.filter(({ unreadable }) => unreadable === null);
    return failing.length < FAILING_MAX ? lanes : begun;
  }

  /** The replay that is next, and those that cannot be read now, which hold up no other. */
  #nextReplays(): Replay[] {
    const first = this.replays.open.findIndex(({ unreadable }) => unreadable === null);
    return this.replays.open.slice(0, first < 0 ? undefined : first + 1);
  }

  /** Reads the feed and sends what is due, whatever comes first; what comes meanwhile waits for nothing of it. */
  async #deliver(endsAt: number): Promise<DeliveryEnd | null> {
    const running = new Map<string, Promise<void>>();
    const ends: DeliveryEnd[] = [];
    const failures: unknown[] = [];
    const mayGoOn = () => ends.length + failures.length === 0 && Date.now() < endsAt;
    const turn = this.#turn(mayGoOn);
    const begin = (name: string, work: Promise<DeliveryEnd | null>) => {
      const done = work.then(
        (end) => {
          if (end !== null) ends.push(end);
        },
        (error: unknown) => {
          failures.push(error);
        },
      );
      running.set(
        name,
        done.finally(() => running.delete(name)),
      );
    };
    do {
      if (turn.webhook() === null) {
        // All are waited for, also when one fails: none may go on when the step is over.
        await Promise.all(running.values());
        break;
      }
      this.#woken = Promise.withResolvers<void>();
      if (this.#isBehind && !running.has('feed')) begin('feed', this.#readFeed());
      this.#beginDue(turn, running, begin);
      if (running.size > 0) await Promise.race([...running.values(), this.#woken.promise]);
    } while (running.size > 0 || this.#isDue());
    if (failures.length > 0) throw failures[0];
    return ends[0] ?? null;
  }

  /** Begins with what is due, as far as there is room for it beside what is under way. */
  #beginDue(
    turn: Turn,
    running: ReadonlyMap<string, unknown>,
    begin: (name: string, work: Promise<DeliveryEnd | null>) => void,
  ): void {
    const now = Date.now();
    if (Math.max(this.lanes.progress.pausedUntil, this.#notBefore) > now) return;
    const [laneNames, replayName] = [(lane: Lane) => `lane ${lane.context}`, 'replay'];
    let room = PARALLEL - [...running.keys()].filter((name) => name.startsWith('lane ')).length;
    for (const lane of this.#eligible()) {
      if (room === 0) break;
      if (lane.retryAt > now || running.has(laneNames(lane))) continue;
      begin(laneNames(lane), runLane(turn, lane));
      room -= 1;
    }
    const replay = this.#nextReplays().find(({ retryAt }) => retryAt <= now);
    if (replay && !running.has(replayName)) begin(replayName, runReplay(turn, replay));
  }

  #isDue(): boolean {
    const next = this.#nextAt();
    return next !== null && next <= Date.now();
  }

  #turn(mayGoOn: () => boolean): Turn {
    const webhook = () => {
      const active = this.#active();
      return active !== null && mayGoOn() && !isExpired(active, Date.now()) ? active : null;
    };
    return {
      ports: this.#ports,
      lanes: this.lanes,
      replays: this.replays,
      webhook,
      sendEvent: async (text, envelope, cause, attempt) => {
        const present = webhook();
        return present === null ? null : this.#sendEvent(present, text, envelope, cause, attempt);
      },
      standStill: () => this.#standStill(),
    };
  }

  #standStill(): null {
    this.#notBefore = Date.now() + STANDSTILL_MS;
    return null;
  }

  async #sendEvent(
    webhook: Webhook,
    text: string,
    { type, stream, version }: Envelope,
    cause: AttemptCause,
    attempt: number,
  ): Promise<AttemptResult | null> {
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

function isExpired({ expiresAt }: Webhook, now: number): boolean {
  return expiresAt !== null && Date.parse(expiresAt) <= now;
}
