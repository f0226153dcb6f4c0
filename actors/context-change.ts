import { type ContextChange, contextMetadata } from '../events/context.ts';
import { isJsonObject, type JsonObject } from '../events/json.ts';
import { applyMergePatch, effectivePatch, jsonEquals } from '../events/merge-patch.ts';
import type { Context } from './context.ts';
import type { Refusal } from './decider.ts';

/** The part of a change that really changes the context; a refusal when what it leads to would not be valid. */
export function effectiveChange(change: ContextChange, state: Context): ContextChange | Refusal {
  const metadata = metadataChange(change.metadata, state.metadata);
  if (metadata) {
    const merged = contextMetadata.safeParse(applyMergePatch(state.metadata, metadata));
    if (!merged.success) {
      const message = merged.error.issues[0]?.message ?? 'is not valid';
      const errors = [{ pointer: '/metadata', message: `${message} after the patch` }];
      return { refused: 'invalid', detail: 'The metadata would be too large or too deep.', errors };
    }
  }
  return {
    ...(change.name !== undefined && change.name !== state.name && { name: change.name }),
    ...(change.description !== undefined &&
      change.description !== state.description && { description: change.description }),
    ...(change.systems !== undefined && !jsonEquals(change.systems, state.systems) && { systems: change.systems }),
    ...(change.tools !== undefined && !jsonEquals(change.tools, state.tools) && { tools: change.tools }),
    ...(metadata !== undefined && { metadata }),
  };
}

/** The merge patch that really changes the metadata, null when it is to be emptied, undefined when it stays. */
function metadataChange(patch: JsonObject | null | undefined, current: JsonObject): JsonObject | null | undefined {
  if (patch === undefined) return undefined;
  if (patch === null) return Object.keys(current).length > 0 ? null : undefined;
  const effective = effectivePatch(current, patch);
  return Object.keys(effective).length > 0 ? effective : undefined;
}

/** The context after a change. */
export function applyChange<State extends Context>(state: State, change: ContextChange): State {
  const { metadata, ...fields } = change;
  if (metadata === undefined) return { ...state, ...fields };
  const merged = metadata === null ? {} : applyMergePatch(state.metadata, metadata);
  return { ...state, ...fields, metadata: merged };
}

/** Whether two changes are about the same thing: a field, or one member of the metadata. */
export function touchTheSame(one: ContextChange, other: ContextChange): boolean {
  const { metadata: mine, ...fields } = one;
  const { metadata: theirs, ...others } = other;
  if (Object.keys(fields).some((field) => Object.hasOwn(others, field))) return true;
  return mine !== undefined && theirs !== undefined && patchesMeet(mine, theirs);
}

function patchesMeet(one: JsonObject | null, other: JsonObject | null): boolean {
  if (one === null || other === null) return true;
  return Object.entries(one).some(([key, value]) => {
    if (!Object.hasOwn(other, key)) return false;
    const counterpart = other[key];
    return !isJsonObject(value) || !isJsonObject(counterpart) || patchesMeet(value, counterpart);
  });
}
