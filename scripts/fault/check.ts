import type { z } from 'zod';
import { type ContextState, contextDecider } from '../../actors/context.ts';
import { recorded } from '../../actors/decider.ts';
import { type ContextEvent, contextEvents } from '../../events/context.ts';
import { type Envelope, envelopeSchema, isIntact } from '../../events/envelope.ts';
import { type Change, type ChangeKind, digest, type TrackedContext } from './ledger.ts';

/** What the server tells of one context. */
export interface Observed {
  /** The history as NDJSON, without the last line's end. */
  readonly lines: readonly string[];
  /** The JSON pages of the same history, joined without their brackets. */
  readonly pages: string;
  /** The answer to GET. */
  readonly now: ObservedState;
  /** The answer to GET ?at= for some version. */
  readonly past: ObservedState & { readonly at: number };
}

/** An answer that holds a state, or the tombstone of a deleted one. */
export interface ObservedState {
  readonly status: number;
  readonly etag: string | null;
  readonly body: string;
}

/** Characters shown of each of two texts that differ. */
const DIFFERENCE_CHARS = 120;

/** The event that each kind of change leads to. */
const EVENT_OF: Readonly<Record<ChangeKind, ContextEvent['type']>> = {
  create: 'context_created',
  patch: 'context_updated',
  delete: 'context_deleted',
  restore: 'context_restored',
};

/**
 * Compares what the server tells of a context with what it was asked and what it answered.
 *
 * @returns every contradiction in words; none when all is well
 */
export function checkContext(context: TrackedContext, observed: Observed): string[] {
  const faults: string[] = [];
  const fault = (text: string) => faults.push(`${context.id}: ${text}`);
  if (observed.pages !== observed.lines.join(',')) fault('the JSON pages and NDJSON tell different histories');
  const envelopes = observed.lines.flatMap((line, index) => {
    const envelope = parseEnvelope(line);
    if (envelope === null) fault(`line ${index + 1} is no event: ${line.slice(0, 300)}`);
    return envelope === null ? [] : [envelope];
  });
  checkLog(context.id, envelopes, fault);
  checkStates(context, envelopes, observed, fault);
  checkChanges(context.changes, envelopes, fault);
  return faults;
}

type Fault = (text: string) => void;

function parseEnvelope(line: string): Envelope | null {
  try {
    const { success, data } = envelopeSchema.safeParse(JSON.parse(line));
    return success ? data : null;
  } catch {
    return null;
  }
}

function checkLog(id: string, envelopes: readonly Envelope[], fault: Fault): void {
  const commands = new Set<string>();
  let previous: Envelope | undefined;
  for (const [index, envelope] of envelopes.entries()) {
    const name = `event ${index + 1} (${envelope.id})`;
    if (envelope.version !== index + 1) fault(`${name} has version ${envelope.version}: a gap or a repeat`);
    if (envelope.stream !== `context/${id}`) fault(`${name} is of the stream ${envelope.stream}`);
    if (!isIntact(envelope)) fault(`${name} does not match its leafHash`);
    if (previous && envelope.id <= previous.id) fault(`${name} does not sort after ${previous.id}`);
    if (previous && envelope.time < previous.time) fault(`${name} is earlier than the one before`);
    if (commands.has(envelope.commandId)) fault(`${name} has the command id of another event`);
    commands.add(envelope.commandId);
    previous = envelope;
  }
}

function checkStates(context: TrackedContext, envelopes: readonly Envelope[], observed: Observed, fault: Fault): void {
  const answers = new Map(context.changes.map((change) => [change.version, change]));
  let state: ContextState = contextDecider.initialState;
  for (const envelope of envelopes) {
    if (!isContextEvent(envelope)) {
      fault(`event ${envelope.version} has a payload that its schema refuses`);
      return;
    }
    state = contextDecider.evolve(state, recorded<ContextEvent>(envelope));
    const answer = answers.get(envelope.version);
    if (answer?.answerDigest && digest(JSON.stringify(state)) !== answer.answerDigest) {
      fault(`the answer to ${answer.marker} is not the state that version ${envelope.version} replays to`);
    }
    if (envelope.version === observed.past.at) checkState('?at=', state, observed.past, fault);
  }
  checkState('GET', state, observed.now, fault);
}

function isContextEvent({ type, data }: Envelope): boolean {
  const schema = Object.entries<z.ZodType>(contextEvents).find(([name]) => name === type)?.[1];
  return schema?.safeParse(data).success ?? false;
}

function checkState(name: string, state: ContextState, observed: ObservedState, fault: Fault): void {
  const expectedStatus = state === null ? 404 : state.status === 'deleted' ? 410 : 200;
  if (observed.status !== expectedStatus) {
    fault(`${name} answers ${observed.status}, the replayed state says ${expectedStatus}`);
    return;
  }
  if (state === null) return;
  if (observed.etag !== `"${state.version}"`) fault(`${name} has the ETag ${observed.etag}, not "${state.version}"`);
  if (state.status === 'active' && observed.body !== JSON.stringify(state)) {
    fault(`${name} differs from replay ${difference(observed.body, JSON.stringify(state))}`);
  }
}

/** Where two texts part, with what stands there in each. */
function difference(actual: string, expected: string): string {
  let index = 0;
  while (index < actual.length && actual[index] === expected[index]) index += 1;
  const from = Math.max(0, index - DIFFERENCE_CHARS / 2);
  const excerpt = (text: string) => text.slice(from, from + DIFFERENCE_CHARS);
  return `at character ${index}: …${excerpt(actual)}… instead of …${excerpt(expected)}…`;
}

function checkChanges(changes: readonly Change[], envelopes: readonly Envelope[], fault: Fault): void {
  // What follows from a change by itself has its correlation id too.
  const asked = envelopes.filter((envelope) => !isBookkeeping(envelope));
  const byMarker = Map.groupBy(asked, (envelope) => envelope.correlationId);
  for (const change of changes) {
    const events = byMarker.get(change.marker) ?? [];
    byMarker.delete(change.marker);
    const name = `${change.kind} ${change.marker}${change.key === null ? '' : ' with a key'}`;
    const versions = events.map((event) => event.version).join(', ') || 'none';
    if (change.outcome === 'acknowledged' && (events.length !== 1 || events[0]?.version !== change.version)) {
      fault(`${name} was acknowledged as version ${change.version}, in the log it is: ${versions}`);
    }
    if (change.outcome === 'refused' && events.length > 0) fault(`${name} was refused, in the log it is: ${versions}`);
    if (change.outcome === 'unanswered' && events.length > 1) fault(`${name} is in the log twice: ${versions}`);
    for (const event of events) checkEvent(change, event, envelopes, name, fault);
  }
  for (const marker of byMarker.keys()) fault(`nobody asked for ${marker}, and it is in the log`);
}

/** Whether an event is none that a client can ask for. */
function isBookkeeping({ type }: Envelope): boolean {
  return !Object.values(EVENT_OF).some((known) => known === type);
}

function checkEvent(change: Change, event: Envelope, envelopes: readonly Envelope[], name: string, fault: Fault): void {
  if (event.type !== EVENT_OF[change.kind]) fault(`${name} became ${event.type}`);
  if (change.body !== null && !JSON.stringify(event.data).includes(`"${change.marker}"`)) {
    fault(`${name} became an event with other data`);
  }
  if (event.version <= change.sentAfter) {
    fault(`${name} is version ${event.version}, but ${change.sentAfter} had been answered before it was sent`);
  }
  const { ifMatch } = change;
  if (
    ifMatch !== null &&
    (ifMatch >= event.version || !envelopes.slice(ifMatch, event.version - 1).every(isBookkeeping))
  ) {
    fault(`${name} was to change version ${ifMatch}, and is version ${event.version}`);
  }
}
