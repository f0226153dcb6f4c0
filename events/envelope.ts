import { z } from 'zod';
import { canonicalText } from './canonical.ts';
import { leafHash } from './hash.ts';
import type { Json, JsonObject } from './json.ts';
import { isUlid } from './ulid.ts';

/** What a decider says has happened: a type in the past tense and its payload. */
export interface DomainEvent {
  readonly type: string;
  readonly data: JsonObject;
}

/** Who and what caused an event; the same for all events of one command. */
export interface Cause {
  /** The actor's id. */
  readonly actor: string;
  /** Whose rights the actor used, when they were not the actor's own. */
  readonly onBehalfOf?: string;
  /** The id of the key, session or delegation by which the actor was known; none for what the service does by itself. */
  readonly credential?: string;
  /** The network that the request came from: the caller's address without its last part, when it is known. */
  readonly origin?: string;
  /** Groups everything that follows from one outside request: the trace id when the caller sent one. */
  readonly correlationId: string;
  /** The id of the event that led to this command, when one did. */
  readonly causationId: string | null;
  /** The id of the command: the request's id. */
  readonly commandId: string;
}

/** An event as it stands in the log and as it is sent to everyone. */
export interface Envelope<Event extends DomainEvent = DomainEvent> extends Cause {
  /** A ULID that sorts after all earlier ones of the stream. */
  readonly id: string;
  /** `<stream type>/<id>`, such as `context/ctx_01J…`. */
  readonly stream: string;
  /** 1, 2, 3 … within the stream, with no gap. */
  readonly version: number;
  readonly type: Event['type'];
  /** The version of the schema that `data` was written in; old ones are upcast when they are read. */
  readonly schemaVersion: number;
  /** ISO 8601, UTC, with milliseconds; never earlier than that of the event before. */
  readonly time: string;
  readonly data: Event['data'];
  /** SHA-256(0x00 ‖ canonical text of the envelope without `leafHash`), 64 hexadecimal digits (RFC 9162, RFC 8785). */
  readonly leafHash: string;
}

/** An envelope that has not been hashed yet. */
export type EnvelopeDraft = Omit<Envelope, 'leafHash'>;

/** An envelope in canonical text, and the hash that is written in it. */
export interface SealedEvent {
  readonly text: string;
  readonly leafHash: string;
}

const json: z.ZodType<Json> = z.json();

/** The wire form of an event of any type. The payload is checked by the schemas of its stream type. */
export const envelopeSchema = z
  .strictObject({
    id: z
      .string()
      .refine(isUlid, 'must be a ULID')
      .meta({ examples: ['01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
    stream: z.string().regex(/^[a-z]+\/[A-Za-z0-9_]+$/),
    version: z.int().min(1),
    type: z.string().regex(/^[a-z]+(_[a-z0-9]+)*$/),
    schemaVersion: z.int().min(1),
    time: z.iso.datetime({ precision: 3 }),
    actor: z.string().min(1),
    onBehalfOf: z.string().min(1).exactOptional(),
    credential: z.string().min(1).exactOptional(),
    origin: z.string().min(1).exactOptional(),
    correlationId: z.string().min(1),
    causationId: z.string().min(1).nullable(),
    commandId: z.string().min(1),
    data: z.record(z.string(), json),
    leafHash: z.string().regex(/^[0-9a-f]{64}$/),
  })
  .meta({ id: 'Event', description: 'An event of a stream: what happened, to what, when, by whom, and its hash.' });

/**
 * Hashes an envelope and writes it as canonical text (RFC 8785) with its hash inside. The text is stored and sent as
 * it is, so that the bytes a reader verifies are the bytes that were hashed. The envelope's own keys are written here
 * in their sorted order; only `data`, which can hold anything, needs the general algorithm.
 */
export function sealEvent(draft: EnvelopeDraft): SealedEvent {
  const beforeHash =
    `{"actor":${JSON.stringify(draft.actor)},"causationId":${JSON.stringify(draft.causationId)},` +
    `"commandId":${JSON.stringify(draft.commandId)},"correlationId":${JSON.stringify(draft.correlationId)},` +
    `${member('credential', draft.credential)}"data":${canonicalText(draft.data)},"id":"${draft.id}",`;
  const afterHash =
    `${member('onBehalfOf', draft.onBehalfOf)}${member('origin', draft.origin)}"schemaVersion":${draft.schemaVersion},"stream":${JSON.stringify(draft.stream)},"time":"${draft.time}",` +
    `"type":"${draft.type}","version":${draft.version}}`;
  const hash = leafHash(beforeHash + afterHash);
  return { text: `${beforeHash}"leafHash":"${hash}",${afterHash}`, leafHash: hash };
}

function member(name: string, value: string | undefined): string {
  return value === undefined ? '' : `"${name}":${JSON.stringify(value)},`;
}

/** Tells whether an envelope still is what was hashed: its `leafHash` is the one its other members give. */
export function isIntact(envelope: Envelope): boolean {
  const { leafHash: claimed, ...rest } = envelope;
  return leafHash(canonicalText({ ...rest })) === claimed;
}
