import { createHash } from 'node:crypto';

/** What a writer asks for. */
export type ChangeKind = 'create' | 'patch' | 'delete' | 'restore';

/** What is known of a change: answered with success, answered with a refusal, or no answer came (yet). */
type Outcome = 'acknowledged' | 'refused' | 'unanswered';

/** One change that was asked for, and what came of it. */
export interface Change {
  readonly kind: ChangeKind;
  /** Unique; sent as X-Request-Id, which becomes the event's correlation id, and inside the metadata of a patch. */
  readonly marker: string;
  /** The Idempotency-Key, null when it is sent without one and therefore at most once. */
  readonly key: string | null;
  /** The version in If-Match, null when it is sent without. */
  readonly ifMatch: number | null;
  /** The JSON body, null for those that have none. */
  readonly body: string | null;
  /** The highest version that anyone had an answer for when it was first sent: its own must be higher. */
  readonly sentAfter: number;
  outcome: Outcome;
  /** The version that it was acknowledged with. */
  version: number | null;
  /** Of the body of its acknowledgement; null for an answer without one, or whose end did not arrive. */
  answerDigest: string | null;
}

/** What is known of one context: all that was asked of it. */
export interface TrackedContext {
  readonly id: string;
  readonly changes: Change[];
  /** The highest version that was acknowledged. */
  acknowledged: number;
  /** Whether something was asked since it was last checked. */
  touched: boolean;
  /** Events that were in its log when it was last checked. */
  events: number;
}

/** All that was asked of the server and all it answered; what the log is compared with. */
export class Ledger {
  readonly contexts = new Map<string, TrackedContext>();
  /** Creations without a key whose answer never came: there may be a context each, whose id nobody knows. */
  lostCreations = 0;
  /** Answers that contradict an earlier answer or the protocol, in words. */
  readonly violations: string[] = [];

  /** The entry of a context, made when it is new. */
  context(id: string): TrackedContext {
    const known = this.contexts.get(id);
    if (known) return known;
    const context: TrackedContext = { id, changes: [], acknowledged: 0, touched: true, events: 0 };
    this.contexts.set(id, context);
    return context;
  }

  /** Notes that a change was asked for. */
  asked(context: TrackedContext, change: Change): void {
    context.changes.push(change);
    context.touched = true;
  }

  /**
   * Notes a success. A change that was acknowledged before must get the very same answer again.
   *
   * @param body the answer's body, null when it had none or was cut off
   */
  acknowledged(context: TrackedContext, change: Change, version: number, body: string | null): void {
    const answerDigest = body === null ? null : digest(body);
    if (change.outcome === 'acknowledged') {
      const isSame = change.version === version && (answerDigest ?? change.answerDigest) === change.answerDigest;
      if (!isSame && change.answerDigest !== null) {
        this.violations.push(
          `${context.id}: ${change.marker} was answered with version ${change.version}, then with ${version}, ` +
            'or with another body',
        );
      }
      return;
    }
    if (change.outcome === 'refused') {
      this.violations.push(`${context.id}: ${change.marker} was refused, then done as version ${version}`);
    }
    change.outcome = 'acknowledged';
    change.version = version;
    change.answerDigest = answerDigest;
    context.acknowledged = Math.max(context.acknowledged, version);
    context.touched = true;
  }

  /** Notes a refusal. A change that was acknowledged before must not be refused later. */
  refused(context: TrackedContext, change: Change, status: number): void {
    if (change.outcome === 'acknowledged') {
      this.violations.push(`${context.id}: ${change.marker} was acknowledged, then refused with ${status}`);
      return;
    }
    change.outcome = 'refused';
    context.touched = true;
  }
}

/** SHA-256 of a body, so that a long run need not keep all of them. */
export function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
