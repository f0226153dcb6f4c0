import type { Cause } from '../events/envelope.ts';
import type { ColdPorts } from './cold-history.ts';
import type { Refusal } from './decider.ts';
import type { HandIn } from './log-sink.ts';
import type { Monitor, Sink } from './outbox.ts';
import type { Principal } from './principal.ts';
import type { Process } from './process.ts';
import type { Head } from './tree.ts';
import type { WordsPort } from './words.ts';

/** What goes in and out of an event-sourced object. */

/** A command on its way to an object. */
export interface CommandRequest<Command> {
  /** The id that the object was addressed by. */
  readonly id: string;
  readonly command: Command;
  /** Who asks for it; whether they may is decided by the object. */
  readonly principal: Principal;
  readonly cause: Omit<Cause, 'actor' | 'onBehalfOf' | 'credential'>;
  /** The versions that the caller accepts (If-Match); any when left out. */
  readonly expectedVersions?: readonly number[];
  /** `key` is unique among all callers; `fingerprint` tells this command from others. */
  readonly idempotency?: { readonly key: string; readonly fingerprint: string };
}

/** The state of a stream as clients see it. */
export interface View {
  readonly version: number;
  /** JSON text. */
  readonly body: string;
  readonly isClosed: boolean;
  /** The head of the stream's tree, when this is the present. */
  readonly treeHead?: Head;
}

/** What a command led to. */
export interface CommandReply {
  readonly version: number;
  /** The state after the command, or what it was about, as JSON text; the first answer's when the command was repeated. */
  readonly body: string;
  /** Whether events were appended. */
  readonly changed: boolean;
  /** Whether this is the remembered answer to the same Idempotency-Key. */
  readonly replayed: boolean;
}

/** A refusal and the version it was decided at, 0 when nothing exists. */
export type RefusalReply = Refusal & { readonly version: number };

/** What a read gives: at once, or later when something of it is cold. */
export type Reading<Answer> = Answer | RefusalReply | Promise<Answer | RefusalReply>;

/** A page of history. */
export interface HistoryPage {
  /** Envelopes as canonical JSON text, oldest first. */
  readonly events: readonly string[];
  /** The version of the last event in the page, or where the caller stood. */
  readonly lastVersion: number;
  /** The version of the newest event there is, also where the history was asked for as it was. */
  readonly newestVersion: number;
  /** Whether the page ends with the newest event there is. */
  readonly isUpToDate: boolean;
  readonly isClosed: boolean;
  /** The head of the stream's tree, when the page ends with the newest event there is. */
  readonly treeHead?: Head;
}

/** All the rest of a history as NDJSON. */
export interface HistoryStream {
  readonly lines: ReadableStream<Uint8Array>;
  /** The version of the last event that `lines` will hold. */
  readonly lastVersion: number;
  /** The head of the stream's tree at that version; none when the log is damaged. */
  readonly treeHead?: Head;
}

/** What an object is connected to. */
export interface Ports<State, Command> {
  /** Where its events go. */
  readonly sinks: readonly Sink<State>[];
  /** Who is told when it falls behind. */
  readonly monitor?: Monitor;
  /** Where its heads go; nowhere when there is no log of logs. */
  readonly log?: HandIn | null;
  /** Where its older events are moved to; when left out they stay. */
  readonly cold?: ColdPorts | undefined;
  /** What it does by itself. */
  readonly process?: Process<State, Command>;
  /** What it needs to keep people's words apart from its events; without it they stand in them as they are. */
  readonly words?: WordsPort;
}
