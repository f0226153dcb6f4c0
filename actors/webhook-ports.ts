import type { Webhook } from './webhook.ts';
import type { AttemptResult } from './webhook-outcome.ts';
import type { SealedSecret } from './webhook-secrets.ts';

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

/** A time of events (ISO 8601), from the first up to before the second; null for any. */
export interface Span {
  readonly from: string | null;
  readonly to: string | null;
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

/** Why events cannot be read that the owner may read. */
export interface Unreadable {
  readonly reason: string;
  /** Whether they may be there all the same. */
  readonly isPassing: boolean;
}

/** Where a delivery stands because an event cannot be read. */
export type UnreadablePlace = {
  readonly context: string;
  readonly version: number;
  readonly reason: string;
};

/** What a delivery needs of the world. */
export interface DeliveryPorts {
  /** What the owner is now; null when there is none (any more). */
  ownerStatus(owner: string): Promise<'active' | 'suspended' | null>;
  /** What is new after a position, for the owner with their present rights; what has no event of the time may be left out. */
  news(webhook: Webhook, after: number, limit: number, span: Span): Promise<NewsPart>;
  /**
   * The events of a context after a version, as sealed texts; none when the owner may not read them (any more), null when
   * the owner is suspended, who may read them again.
   */
  events(
    webhook: Webhook,
    context: string,
    after: number,
    limit: number,
  ): Promise<readonly string[] | Unreadable | null>;
  /** What is sent of an event. */
  messageOf(webhook: string, text: string): { readonly id: string; readonly body: string };
  /** Sends it. @returns null when it cannot be signed */
  post(message: Message): Promise<AttemptResult | null>;
}
