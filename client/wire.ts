import type { ContextEvent } from '../events/context.ts';
import type { DomainEvent, Envelope } from '../events/envelope.ts';
import type { Json, JsonObject } from '../events/json.ts';

/** A context as the API gives it. */
export interface Context {
  readonly id: string;
  readonly chittyId: string | null;
  readonly name: string;
  readonly description: string;
  /** The id of the actor it belongs to. */
  readonly owner: string;
  /** Who shares it, in the order in which they came. */
  readonly members: readonly Member[];
  readonly systems: readonly string[];
  readonly tools: readonly string[];
  readonly metadata: JsonObject;
  readonly status: 'active' | 'deleted';
  /** The number of its events. */
  readonly version: number;
  /** ISO 8601, UTC, milliseconds. */
  readonly createdAt: string;
  readonly updatedAt: string;
  /** How far its place in ChittyOS has been made; it can be used all the while. */
  readonly provisioning: { readonly status: 'pending' | 'failing' | 'complete'; readonly steps: JsonObject };
}

/** Somebody who shares a context. */
export interface Member {
  readonly actor: string;
  readonly role: 'owner' | 'editor' | 'viewer' | 'auditor';
  /** When the role was given (ISO 8601). */
  readonly since: string;
}

/** An invitation that waits for an answer. */
export interface Invitation {
  readonly id: string;
  readonly context: { readonly id: string; readonly name: string };
  /** Who is invited. */
  readonly actor: string;
  readonly role: Member['role'];
  readonly invitedBy: string;
  readonly sentAt: string;
  readonly expiresAt: string;
}

/** A change that others approve. */
export interface Proposal {
  readonly id: string;
  readonly status: 'open' | 'stale' | 'applied' | 'rejected' | 'withdrawn';
  readonly author: { readonly actor: string; readonly at: string };
  readonly message: string | null;
  readonly change: ContextPatch;
  /** The version that its author had in mind. */
  readonly base: number;
  readonly approvals: readonly { readonly actor: string; readonly at: string }[];
  readonly approvalsRequired: number;
  readonly comments: readonly { readonly author: string; readonly text: string; readonly at: string }[];
}

/** What a new context may say of itself. */
export interface NewContext {
  readonly name: string;
  readonly description?: string;
  readonly systems?: readonly string[];
  readonly tools?: readonly string[];
  readonly metadata?: JsonObject;
  /** What of the metadata is whose words: encrypted in events, and erased when they ask for it. */
  readonly privacy?: readonly { readonly pointer: string; readonly subject: string }[];
}

/** A JSON Merge Patch (RFC 7396): only what is to change; null empties. */
export interface ContextPatch {
  readonly name?: string;
  readonly description?: string | null;
  readonly systems?: readonly string[] | null;
  readonly tools?: readonly string[] | null;
  readonly metadata?: JsonObject | null;
}

/** One change of one field. */
export interface FieldChange {
  /** The event that changed it: its version, time and type, and who caused it. */
  readonly version: number;
  readonly time: string;
  readonly type: RecordedEvent['type'];
  readonly actor: string;
  /** What it was; left out when there was nothing. */
  readonly from?: Json;
  /** What it became; left out when nothing was left. */
  readonly to?: Json;
}

/** Keeps each event's type together with its payload. */
type Enveloped<Event extends DomainEvent> = Event extends DomainEvent ? Envelope<Event> : never;

/** An event of a context as it is recorded and sent. */
export type RecordedEvent = Enveloped<ContextEvent>;

/** The first message of a watch: the context as it is at `version`. Events up to it that follow are in it already. */
export interface Hello {
  readonly type: 'hello';
  readonly version: number;
  readonly state: Context;
}

/** One thing that has happened. */
export interface EventMessage {
  readonly type: 'event';
  readonly event: RecordedEvent;
}

/** What a watch yields. */
export type LiveMessage = Hello | EventMessage;

/** Asks for a confirmation: to be sent back as it came, once everything before it was taken. */
export interface Sync {
  readonly type: 'sync';
  readonly version: number;
  readonly sent: number;
}

/** Said before the connection is closed, for what happens on the way to the end of the closing handshake can take long. */
export interface Close {
  readonly type: 'close';
  readonly code: number;
  readonly reason: string;
}

/** Close codes of the live protocol that end a watch for good (docs/protocol.md). */
export const CLOSE = { policy: 1008, unauthorized: 4401, forbidden: 4403, notFound: 4404, deleted: 4410 } as const;
