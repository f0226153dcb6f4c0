import { z } from 'zod';
import type { Context } from '../actors/context.ts';
import { canonicalText } from '../events/canonical.ts';
import type { Findings } from '../events/finding.ts';
import { isJsonObject, type Json } from '../events/json.ts';
import { diffJson } from '../events/json-patch.ts';
import { countSealed } from '../events/personal.ts';
import { ServerError } from './errors.ts';
import { BUSY, type Server, textOf } from './server.ts';

/** A state that events led to, kept as text: there may be many. */
export interface ReplayedState {
  readonly version: number;
  readonly isDeleted: boolean;
  /** When it was last changed, which of a deleted context is when it was deleted. */
  readonly updatedAt: string;
  /** Its canonical JSON. */
  readonly text: string;
}

/** Pointers that are named when a state differs. */
const NAMED_MAX = 5;

/** What is left of a deleted context, in the problem that says so. */
const goneSchema = z.object({ tombstone: z.object({ version: z.int(), deletedAt: z.string() }) });

/** The state of a context, to be compared later. */
export function stateOf(view: Context): ReplayedState {
  const { version, status, updatedAt } = view;
  return { version, isDeleted: status === 'deleted', updatedAt, text: canonicalText({ ...view }) };
}

/**
 * Compares the states that a server gives with those that the events lead to. The log vouches for events alone: this
 * finds what is served from a snapshot that was changed.
 *
 * @param path of the context
 * @returns how many were compared
 */
export async function compareStates(
  server: Server,
  path: string,
  stream: string,
  states: readonly ReplayedState[],
  findings: Findings,
): Promise<number> {
  for (const state of states) {
    const difference = await compare(server, path, state);
    if (difference === null) continue;
    const { version } = state;
    const message = `${stream} version ${version}: the state that is served is not what the events lead to: ${difference}`;
    findings.add({ code: 'state-differs', stream, version, through: null, message });
  }
  return states.length;
}

/** @returns what is different, null when nothing is */
async function compare(server: Server, path: string, state: ReplayedState): Promise<string | null> {
  let served: Json;
  try {
    // Where people's words are encrypted in the events, they are compared as they are there.
    const form = countSealed(state.text) > 0 ? '&form=sealed' : '';
    const response = await server.get(`${path}?at=${state.version}${form}`, 'application/json');
    served = parsed(await textOf(response));
  } catch (error) {
    if (!(error instanceof ServerError) || saysNothing(error)) throw error;
    if (!state.isDeleted || error.status !== 410) return error.message;
    const gone = goneSchema.safeParse(error.body);
    const isSame =
      gone.success &&
      gone.data.tombstone.version === state.version &&
      gone.data.tombstone.deletedAt === state.updatedAt;
    return isSame ? null : 'it is deleted, and its tombstone says otherwise when';
  }
  if (state.isDeleted) return 'it is deleted';
  const patch = diffJson(JSON.parse(state.text), isJsonObject(served) ? served : {});
  if (patch.length === 0) return null;
  const pointers = patch.slice(0, NAMED_MAX).map((operation) => operation.path);
  return pointers.join(', ') + (patch.length > NAMED_MAX ? ` and ${patch.length - NAMED_MAX} more` : '');
}

/** Whether an answer, or that there was none, says nothing about the state that was asked for. */
function saysNothing({ status }: ServerError): boolean {
  return status === null || status === 401 || BUSY.has(status);
}

/** The JSON of a text; null when it is none. */
function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
