import type { Envelope } from '../events/envelope.ts';
import type { Json, JsonObject } from '../events/json.ts';

/** An entry of the audit trail as it is kept. */
export interface AuditRow {
  /** The id of its event; of its first, where it is several. */
  readonly id: string;
  readonly time: string;
  readonly actor: string;
  /** Whose rights were used; null for the actor's own. */
  readonly subject: string | null;
  readonly credential: string | null;
  /** `<stream type>/<id>`: what it was about. */
  readonly stream: string | null;
  /** The type of the event that is the change; what was refused, or read. */
  readonly action: string;
  readonly outcome: 'allowed' | 'refused';
  readonly origin: string | null;
  readonly command_id: string;
  readonly correlation_id: string;
  /** A JSON object. */
  readonly detail: string;
  /** The version and the time of its last event, and how many events it is; null where it is one. */
  readonly last_version: number | null;
  readonly last_time: string | null;
  readonly occurrences: number | null;
}

/** What the events of audit streams say, with what is not in all of them. */
interface Told {
  readonly stream?: string | null;
  readonly action?: string;
  readonly [member: string]: Json | undefined;
}

/** Ids, which tell who and what an event is about and nothing else. */
const ID = /^[a-z]{3,4}_[0-9A-HJKMNP-TV-Z]{26}(_[0-9A-HJKMNP-TV-Z]{26})?$/;

/** Names of fields that one entry tells, and ids. */
const NAMES_MAX = 50;

/** Events of a stream among which alike ones are one entry: so many versions, the first of which is 1, 257, 513 … */
const SPAN_VERSIONS = 256;

/** The beginning of the minute that a time (ISO 8601) is in. */
export function minuteOf(time: string): string {
  return `${time.slice(0, 'YYYY-MM-DDTHH:mm'.length)}:00.000Z`;
}

/**
 * Whether two events of one stream are in the same span: changes that are alike there are one entry. Spans end with each
 * minute, so that an entry says when, and every 256 versions, so that what an entry is can be told from few events. What
 * is no change, a refusal or a read, is an entry of its own always.
 */
export function inOneSpan(one: Envelope, other: Envelope): boolean {
  return (
    !isOfAuditStream(one) &&
    beforeSpan(one.version) === beforeSpan(other.version) &&
    minuteOf(one.time) === minuteOf(other.time)
  );
}

/** The number of events of a stream before the first of the span that a version can be in. */
export function beforeSpan(version: number): number {
  return version - 1 - ((version - 1) % SPAN_VERSIONS);
}

/**
 * The entries that events of one stream are, in the order of their first events. It depends on nothing but the events:
 * when they are all of their spans up to some version, the entries are what they have to be at that version.
 *
 * @param envelopes by rising version
 */
export function auditRowsOf(envelopes: readonly Envelope[]): AuditRow[] {
  const entries = new Map<string, Entry>();
  let last: Entry | undefined;
  for (const envelope of envelopes) {
    const names = namesIn(envelope.data);
    // Mostly an event is like the one before it, which is seen sooner than what it is an entry of.
    let entry = last && isAlike(last, envelope, names) ? last : entries.get(keyOf(envelope, names));
    if (entry) {
      entry.last = envelope;
      entry.occurrences += 1;
    } else {
      entry = { first: envelope, last: envelope, names, occurrences: 1 };
      entries.set(keyOf(envelope, names), entry);
    }
    last = entry;
  }
  return [...entries.values()].map(({ first, last: { version, time }, names, occurrences }) => ({
    ...rowOf(first, names),
    ...(occurrences > 1 && { last_version: version, last_time: time, occurrences }),
  }));
}

/** Events that are one entry. */
interface Entry {
  readonly first: Envelope;
  last: Envelope;
  readonly names: Names;
  occurrences: number;
}

/** What a change tells without telling a value: the names of its fields, and the ids in it. */
interface Names {
  readonly fields: readonly string[];
  readonly about: readonly string[];
}

/** Whether an event is part of an entry: all that is said of it is the same, but for when and by which request. */
function isAlike({ first, names }: Entry, envelope: Envelope, { fields, about }: Names): boolean {
  return (
    first.type === envelope.type &&
    first.actor === envelope.actor &&
    first.onBehalfOf === envelope.onBehalfOf &&
    first.credential === envelope.credential &&
    first.origin === envelope.origin &&
    first.stream === envelope.stream &&
    inOneSpan(first, envelope) &&
    isSame(names.fields, fields) &&
    isSame(names.about, about)
  );
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((text, index) => text === others[index]);
}

/** The same for all that `isAlike` finds alike. */
function keyOf(envelope: Envelope, names: Names): string {
  if (isOfAuditStream(envelope)) return envelope.id;
  const { type, actor, onBehalfOf, credential, origin, stream } = envelope;
  return JSON.stringify([spanOf(envelope), type, actor, onBehalfOf, credential, origin, stream, names]);
}

function spanOf({ time, version }: Envelope): string {
  return `${minuteOf(time)} ${beforeSpan(version)}`;
}

function isOfAuditStream({ stream }: Envelope): boolean {
  return stream.startsWith('audit/');
}

/**
 * The entry that an event is by itself. Of a change it tells the names of the fields and the ids in it, never a value:
 * those are in the stream, for those who may read it.
 */
function rowOf(envelope: Envelope, names: Names): AuditRow {
  const { id, time, actor, onBehalfOf, credential, origin, commandId, correlationId, stream, version, type, data } =
    envelope;
  const event = { log: stream, version };
  const common = {
    id,
    time,
    actor,
    subject: onBehalfOf ?? null,
    credential: credential ?? null,
    origin: origin ?? null,
    command_id: commandId,
    correlation_id: correlationId,
    last_version: null,
    last_time: null,
    occurrences: null,
  };
  if (!isOfAuditStream(envelope)) {
    const detail = { ...event, ...names };
    return { ...common, stream, action: type, outcome: 'allowed', detail: JSON.stringify(detail) };
  }
  const { stream: about = null, action = type, ...rest }: Told = data;
  const outcome = type === 'sensitive_read' || type === 'administered' ? 'allowed' : 'refused';
  return { ...common, stream: about, action, outcome, detail: JSON.stringify({ ...event, type, ...rest }) };
}

function namesIn(data: JsonObject): Names {
  const entries = Object.entries(data);
  const fields = entries.flatMap(([name, value]) => [name, ...(name === 'change' ? membersOf(value, name) : [])]);
  const about = entries.flatMap(([, value]) => (typeof value === 'string' && ID.test(value) ? [value] : []));
  return { fields: fields.slice(0, NAMES_MAX), about: about.slice(0, NAMES_MAX) };
}

function membersOf(value: Json, name: string): string[] {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? Object.keys(value).map((member) => `${name}.${member}`) : [];
}
