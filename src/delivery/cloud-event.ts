import { z } from 'zod';
import type { Envelope } from '../../events/envelope.ts';
import type { Json } from '../../events/json.ts';

/** What the `type` of all our events begins with. */
const TYPE_PREFIX = 'cc.chitty.connect.';

/** The types of streams whose events go to other services, with what their paths begin with. */
const COLLECTIONS = { context: 'contexts', actor: 'actors', connection: 'connections' } as const;

/** One of the types. */
export type OutgoingStreamType = keyof typeof COLLECTIONS;

const OUTGOING_TYPES = ['context', 'actor', 'connection'] as const satisfies readonly OutgoingStreamType[];

/** What is known of a stream beside its events, for those who get them. */
export interface StreamReferences {
  readonly chittyId: string | null;
  readonly dnaId: string | null;
}

/** The type of an event that stands in the place of one that was not taken and will not be sent again. */
const SKIPPED_TYPE = `${TYPE_PREFIX}event_skipped`;

const json: z.ZodType<Json> = z.json();

/** An event as it is on its way to other services: CloudEvents 1.0, JSON format; lower-case names are extensions. */
const cloudEventSchema = z.strictObject({
  specversion: z.literal('1.0'),
  id: z.string().min(1),
  source: z.string().startsWith('/v1/'),
  type: z.string().startsWith(TYPE_PREFIX),
  subject: z.string(),
  time: z.string(),
  datacontenttype: z.literal('application/json'),
  /** The version of the event in its stream. */
  sequence: z.string().regex(/^[1-9]\d*$/),
  actor: z.string(),
  /** Whose rights the actor used, when they were not the actor's own. */
  onbehalfof: z.string().optional(),
  /** The id of the key, session or delegation by which the actor was known. */
  credentialid: z.string().optional(),
  correlationid: z.string(),
  causationid: z.string().optional(),
  commandid: z.string(),
  schemaversion: z.int(),
  /** The Merkle leaf hash, by which the event can be proved to stand in its stream. */
  leafhash: z.string(),
  chittyid: z.string().optional(),
  dnaid: z.string().optional(),
  /** In the first of a message: where it goes when it does not go everywhere, names with a space between. For the consumer. */
  deliverto: z.string().optional(),
  /** In the first of a message: who decided that it need not arrive, so that what is refused again is skipped. For the consumer. */
  droppedby: z.string().optional(),
  /** In the first of a message: the generation that the report of it tells, when it is not 0. For the consumer. */
  generation: z.int().min(1).optional(),
  /** In the last of a message, when the log ends there and the context is deleted. For the consumer. */
  isdeleted: z.literal(true).optional(),
  /** In the last of a message, when the log goes on and its next events are there to be fetched. For the consumer. */
  hasmore: z.literal(true).optional(),
  /** Where its data is, when it was too long for a message (CloudEvents, "claim check"). For the consumer. */
  dataref: z.string().optional(),
  data: json.exactOptional(),
});

/** An event on its way. */
export type OutgoingEvent = z.infer<typeof cloudEventSchema>;

/** A queue message: the events of one stream, in order (CloudEvents JSON batch format). */
export const messageSchema = z.array(cloudEventSchema).min(1);

/** Writes an event in the form that other services get. */
export function toCloudEvent(envelope: Envelope, { chittyId, dnaId }: StreamReferences): OutgoingEvent {
  const id = streamId(envelope.stream);
  return {
    specversion: '1.0',
    id: envelope.id,
    source: `/v1/${COLLECTIONS[typeOf(envelope.stream)]}/${id}`,
    type: TYPE_PREFIX + envelope.type,
    subject: id,
    time: envelope.time,
    datacontenttype: 'application/json',
    sequence: String(envelope.version),
    actor: envelope.actor,
    ...(envelope.onBehalfOf !== undefined && { onbehalfof: envelope.onBehalfOf }),
    ...(envelope.credential !== undefined && { credentialid: envelope.credential }),
    correlationid: envelope.correlationId,
    ...(envelope.causationId !== null && { causationid: envelope.causationId }),
    commandid: envelope.commandId,
    schemaversion: envelope.schemaVersion,
    leafhash: envelope.leafHash,
    ...(chittyId !== null && { chittyid: chittyId }),
    ...(dnaId !== null && { dnaid: dnaId }),
    data: envelope.data,
  };
}

/**
 * The event as other services keep it: what was known of its stream when it was sent is for the way only. An event that
 * is sent again, when more is known, must be the same to the byte, or a service that has it rightly refuses it.
 */
export function withoutReferences(event: OutgoingEvent): OutgoingEvent {
  const {
    chittyid: _id,
    dnaid: _dnaid,
    deliverto: _to,
    droppedby: _by,
    generation: _generation,
    isdeleted: _is,
    hasmore: _has,
    dataref: _ref,
    ...rest
  } = event;
  return rest;
}

/** The event type as it stands in the log. */
export function eventType({ type }: OutgoingEvent): string {
  return type.slice(TYPE_PREFIX.length);
}

/**
 * What stands in the place of an event that a service will not take: its id, its place and its hash, by which it can
 * still be found and proved in the stream, without its content.
 */
export function skipped(event: OutgoingEvent, droppedBy: string): OutgoingEvent {
  return { ...event, type: SKIPPED_TYPE, data: { type: eventType(event), droppedBy } };
}

/** The type of the stream that an event comes from. */
export function streamTypeOf({ source }: Pick<OutgoingEvent, 'source'>): OutgoingStreamType {
  const [, , collection] = source.split('/');
  return OUTGOING_TYPES.find((type) => COLLECTIONS[type] === collection) ?? 'context';
}

function typeOf(stream: string): OutgoingStreamType {
  return OUTGOING_TYPES.find((type) => stream.startsWith(`${type}/`)) ?? 'context';
}

function streamId(stream: string): string {
  return stream.slice(stream.indexOf('/') + 1);
}
