import { z } from 'zod';
import { contextView } from '../../actors/collaboration.ts';
import { type ContextState, contextDecider } from '../../actors/context.ts';
import { recorded } from '../../actors/decider.ts';
import { SYSTEM_ACTOR } from '../../actors/system-actor.ts';
import { canonicalText } from '../../events/canonical.ts';
import type { ContextEvent } from '../../events/context.ts';
import { type Envelope, envelopeSchema } from '../../events/envelope.ts';
import type { Json } from '../../events/json.ts';

/** An event as another service keeps it. */
export interface Carried {
  readonly id: string;
  /** The version, in decimal. */
  readonly sequence: string;
  /** The event type with its prefix. */
  readonly type: string;
  /** ISO 8601. */
  readonly time: string;
  /** What stands for all the rest of the envelope. */
  readonly leafhash: string;
  readonly data: Json;
}

/** All that stands of one context outside of its log. */
export interface Downstream {
  /** Its entries in ChittyChronicle, in the order in which they came. */
  readonly chronicle: readonly Carried[];
  /** What ChittyChronicle says it is identified as. */
  readonly identifiedAs: readonly string[];
  /** Its record in ChittyDNA. */
  readonly dna: { readonly id: string; readonly isArchived: boolean; readonly lineage: readonly Carried[] } | null;
  /** The ChittyIDs that were minted for it. */
  readonly chittyIds: readonly string[];
  /** The keys that ChittyAuth provisioned for it. */
  readonly keyIds: readonly string[];
  /** The services that ChittyRegistry lists under its ChittyID, by their names. */
  readonly registered: readonly string[];
  /** The certificates of its ChittyID. */
  readonly certificateIds: readonly string[];
  /** It as the lists of contexts show it, as JSON. */
  readonly listed: readonly string[];
}

/** What is not as the log says: what may still come, and what cannot come right any more. */
export interface Verdict {
  readonly missing: readonly string[];
  readonly faults: readonly string[];
}

const versioned = z.looseObject({ version: z.int() });

const EVENT_PREFIX = 'cc.chitty.connect.';
/** Characters shown of each of two texts that differ. */
const SHOWN_CHARS = 300;

/**
 * Compares what stands of a context elsewhere with its log, which must have been read last.
 *
 * @param lines the whole log, empty when there is no such context
 */
export function checkDownstream(id: string, lines: readonly string[], downstream: Downstream): Verdict {
  const missing: string[] = [];
  const faults: string[] = [];
  const miss = (text: string) => void missing.push(`${id}: ${text}`);
  const fault = (text: string) => void faults.push(`${id}: ${text}`);
  const envelopes = lines.map((line) => envelopeSchema.parse(JSON.parse(line)));
  const log = envelopes.map(carried);
  const state = envelopes.reduce<ContextState>(
    (before, envelope) => contextDecider.evolve(before, recorded<ContextEvent>(envelope)),
    contextDecider.initialState,
  );
  compare('Chronicle', log, downstream.chronicle, miss, fault);
  checkDna(state, log, downstream, miss, fault);
  checkPlace(state, downstream, miss, fault);
  checkListed(state, downstream.listed, miss, fault);
  return { missing, faults };
}

type Note = (text: string) => void;

function carried({ id, version, type, time, leafHash, data }: Envelope): Carried {
  return { id, sequence: String(version), type: EVENT_PREFIX + type, time, leafhash: leafHash, data };
}

/** What has arrived must be how the log begins, event by event; when it is shorter, the rest is missing. */
function compare(name: string, log: readonly Carried[], arrived: readonly Carried[], miss: Note, fault: Note): void {
  for (const [index, event] of arrived.entries()) {
    const expected = log[index];
    if (expected === undefined) {
      fault(`${name} has event ${index + 1} (${event.id}, sequence ${event.sequence}), the log ends at ${log.length}`);
      return;
    }
    if (canonicalText({ ...event }) === canonicalText({ ...expected })) continue;
    const earlier = arrived.findIndex(({ id }) => id === event.id);
    const how = earlier < index ? `once more, after place ${earlier + 1}` : `instead of sequence ${expected.sequence}`;
    const excerpts = [event, expected].map((each) => JSON.stringify(each).slice(0, SHOWN_CHARS));
    fault(`${name} has sequence ${event.sequence} ${how}, in place ${index + 1}: ${excerpts.join(' for ')}`);
    return;
  }
  if (arrived.length < log.length) miss(`${name} has ${arrived.length} of ${log.length} events`);
}

function checkDna(state: ContextState, log: readonly Carried[], { dna }: Downstream, miss: Note, fault: Note): void {
  const recordId = state?.provisioning.steps.initializeDna?.reference;
  if (recordId === undefined) {
    // One that was begun before its context was deleted waits for the restoration.
    if (dna && dna.lineage.length > 0) fault(`DNA has ${dna.lineage.length} events, and no event tells of its record`);
    return;
  }
  if (dna === null) {
    miss(`DNA has no record, where the log says ${recordId}`);
    return;
  }
  if (dna.id !== recordId) fault(`DNA has the record ${dna.id}, where the log says ${recordId}`);
  compare('DNA', log, dna.lineage, miss, fault);
  if (dna.lineage.length < log.length) return;
  if (state?.status === 'deleted' && !dna.isArchived) miss('it is deleted, and its DNA record is not archived');
  if (state?.status === 'active' && dna.isArchived) fault('its DNA record is archived, and it is not deleted');
}

/** Whether each step of provisioning led to one thing in the service that made it, and which the log says. */
function checkPlace(state: ContextState, downstream: Downstream, miss: Note, fault: Note): void {
  const chittyId = state?.chittyId ?? null;
  const isRegistered = state?.provisioning.steps.register?.status === 'done';
  const referenceOf = (step: 'issueApiKeys' | 'certify') => state?.provisioning.steps[step]?.reference ?? null;
  const things: [string, readonly string[], string | null][] = [
    ['ChittyID', downstream.chittyIds, chittyId],
    ['grant of keys', downstream.keyIds, referenceOf('issueApiKeys')],
    ['entry in the registry', downstream.registered, isRegistered ? chittyId : null],
    ['certificate', downstream.certificateIds, referenceOf('certify')],
  ];
  for (const [name, found, expected] of things) {
    if (found.length > 1) fault(`there is more than one ${name}: ${found.join(', ')}`);
    else if (state === null && found.length > 0) fault(`there is a ${name} (${found[0]}), and no log`);
    else if (expected !== null && found.length === 0) miss(`there is no ${name}, where the log says ${expected}`);
    else if (expected !== null && found[0] !== expected) fault(`its ${name} is ${found[0]}, the log says ${expected}`);
  }
  const { identifiedAs } = downstream;
  if (identifiedAs.length > 1 || (identifiedAs.length === 1 && identifiedAs[0] !== chittyId)) {
    fault(`Chronicle says it is identified as ${identifiedAs.join(', ')}, the log says ${chittyId}`);
  } else if (identifiedAs.length === 0 && chittyId !== null) miss('Chronicle does not say what it is identified as');
  // What is deleted goes on when it is restored.
  if (state?.status === 'active' && state.provisioning.status !== 'complete') {
    miss(`its provisioning is ${state.provisioning.status}: ${JSON.stringify(state.provisioning.steps)}`);
  }
}

function checkListed(state: ContextState, listed: readonly string[], miss: Note, fault: Note): void {
  const [first] = listed;
  if (state === null || state.owner === SYSTEM_ACTOR) {
    if (first !== undefined) fault(`it is listed, and is nobody's: ${first.slice(0, SHOWN_CHARS)}`);
    return;
  }
  if (first === undefined || listed.length > 1) {
    // On the way from one list to the other it may be seen in both.
    miss(`it is listed ${listed.length} times`);
    return;
  }
  const expected = JSON.stringify(contextView(state));
  if (first === expected) return;
  const { version } = versioned.parse(JSON.parse(first));
  const note = version < state.version ? miss : fault;
  note(`it is listed as ${first.slice(0, SHOWN_CHARS)}, and is ${expected.slice(0, SHOWN_CHARS)}`);
}
