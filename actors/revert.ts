import type { ContextChange, ContextEvent } from '../events/context.ts';
import { type JsonObject, pointerToken } from '../events/json.ts';
import { jsonEquals } from '../events/merge-patch.ts';
import type { Context, ContextState } from './context.ts';
import type { Conflict, Moment, Past, Recorded, Refusal } from './decider.ts';
import type { Principal } from './principal.ts';

/** The fields that can be brought back: what people write. */
export const REVERTIBLE_FIELDS = ['name', 'description', 'systems', 'tools', 'metadata'] as const;

/** A field that can be brought back. */
type RevertibleField = (typeof REVERTIBLE_FIELDS)[number];

/** Conflicts that a refusal names at most. */
const CONFLICTS_MAX = 20;

/** What bringing a context back to an earlier state takes. */
export type Revert = {
  readonly to: Moment;
  /** Only these; all when left out. */
  readonly fields?: readonly RevertibleField[];
  /** Whether what others have changed since is undone as well. */
  readonly onConflict: 'refuse' | 'overwrite';
};

type Reverted = Extract<ContextEvent, { type: 'context_reverted' }>['data'];
type MetadataChange = NonNullable<Reverted['metadata']>;

/**
 * Brings a context back to what it was: one event that holds what changes by it, none when nothing does. It is refused
 * when the present value of something that it changes was written by somebody else since; an agent is somebody else,
 * in whose name ever it acts.
 */
export function revert(
  { to, fields = REVERTIBLE_FIELDS, onConflict }: Revert,
  state: Context,
  by: Principal,
  past: Past<ContextState, ContextEvent>,
): readonly ContextEvent[] | Refusal {
  if (state.status === 'deleted') {
    return { refused: 'deleted', detail: 'The context is deleted. POST …/restore brings it back; revert it then.' };
  }
  if ('version' in to && to.version > state.version) {
    const detail = `The context is at version ${state.version}: there is no version ${to.version} to go back to.`;
    return { refused: 'ahead-of-stream', detail };
  }
  const then = past.at(to);
  if (then.state === null) return { refused: 'before-creation', detail: 'It did not exist yet at that time.' };
  const changes = differences(then.state, state, fields);
  if (Object.keys(changes).length === 0) return [];
  const refusal =
    onConflict === 'refuse' ? refuseConflicts(pointersOf(changes), by.actor, past.newestFirst(then.version)) : null;
  return refusal ?? [{ type: 'context_reverted', data: { to: then.version, ...changes } }];
}

/** The metadata after a revert. */
export function revertedMetadata(metadata: JsonObject, { set, removed }: MetadataChange): JsonObject {
  const gone = new Set(removed);
  const kept = Object.entries(metadata).filter(([key]) => !gone.has(key));
  return Object.fromEntries([...kept, ...Object.entries(set)]);
}

/** What a revert touches, written as a change: each member of the metadata as a whole. */
export function revertedChange({ to, metadata, ...fields }: Reverted): ContextChange {
  if (!metadata) return fields;
  const members = [...Object.keys(metadata.set), ...metadata.removed];
  return { ...fields, metadata: Object.fromEntries(members.map((member) => [member, null])) };
}

/** What has to change so that the fields are what they were. */
function differences(then: Context, now: Context, fields: readonly RevertibleField[]): Omit<Reverted, 'to'> {
  const differs = (field: RevertibleField) => fields.includes(field) && !jsonEquals(then[field], now[field]);
  return {
    ...(differs('name') && { name: then.name }),
    ...(differs('description') && { description: then.description }),
    ...(differs('systems') && { systems: then.systems }),
    ...(differs('tools') && { tools: then.tools }),
    ...(differs('metadata') && { metadata: metadataChange(then.metadata, now.metadata) }),
  };
}

function metadataChange(then: JsonObject, now: JsonObject): MetadataChange {
  const set = Object.entries(then).filter(
    ([key, value]) => !Object.hasOwn(now, key) || !jsonEquals(value, now[key] ?? null),
  );
  const removed = Object.keys(now).filter((key) => !Object.hasOwn(then, key));
  return { set: Object.fromEntries(set), removed };
}

/** Everything that a revert changes: fields, and members of the metadata. */
function pointersOf(changes: Omit<Reverted, 'to'>): Set<string> {
  const fields = REVERTIBLE_FIELDS.filter((field) => field !== 'metadata' && changes[field] !== undefined);
  const members = changes.metadata ? [...Object.keys(changes.metadata.set), ...changes.metadata.removed] : [];
  return new Set([...fields.map((field) => `/${field}`), ...members.map(memberPointer)]);
}

/** Refuses when somebody else was the last to change one of `pointers`. */
function refuseConflicts(
  pointers: Set<string>,
  by: string,
  newestFirst: Iterable<Recorded<ContextEvent>>,
): Refusal | null {
  const conflicts: Conflict[] = [];
  const sealings: Recorded<ContextEvent>[] = [];
  const look = (event: Recorded<ContextEvent>) => {
    for (const pointer of touched(event, pointers)) {
      // Only the last change of each counts: what it replaced is gone already.
      const isFirstSeen = pointers.delete(pointer);
      const { version, actor, time } = event;
      if (isFirstSeen && actor !== by) conflicts.push({ pointer, version, actor, time });
    }
  };
  for (const event of newestFirst) {
    // Sealing changes nothing: whose the value is, an earlier event says.
    if (event.type === 'metadata_sealed') sealings.push(event);
    else look(event);
    if (pointers.size === 0) break;
  }
  // What nobody changed differs because it was erased: it could be as it was before, had it not been sealed.
  sealings.forEach(look);
  if (conflicts.length === 0 && pointers.size === 0) return null;
  const how = 'Send "onConflict": "overwrite" to revert all the same, or name in "fields" what to bring back.';
  const named = conflicts.slice(0, CONFLICTS_MAX);
  const [first] = named;
  const detail = first
    ? `${first.pointer} was changed by ${first.actor} in version ${first.version}; "conflicts" names all such changes.`
    : 'So much has happened since that it takes too long to find out who changed what.';
  return { refused: 'conflict', detail: `${detail} ${how}`, conflicts: named };
}

/** What an event changed, as far as it is among `pointers` at all. */
function touched(event: Recorded<ContextEvent>, pointers: ReadonlySet<string>): Iterable<string> {
  if (event.type === 'context_reverted') return pointersOf(event.data);
  const change = changeOf(event);
  if (change === null) return [];
  const { metadata, ...fields } = change;
  const names = Object.keys(fields).map((field) => `/${field}`);
  // Null emptied the metadata, whatever was in it.
  if (metadata === null) return [...names, ...[...pointers].filter((pointer) => pointer.startsWith(memberPointer('')))];
  return [...names, ...Object.keys(metadata ?? {}).map(memberPointer)];
}

/** What is written by an event that holds a change; null when it holds none. */
function changeOf(event: Recorded<ContextEvent>): ContextChange | null {
  switch (event.type) {
    case 'context_updated':
    case 'metadata_sealed':
      return event.data;
    case 'proposal_applied':
      return event.data.change;
    default:
      return null;
  }
}

function memberPointer(key: string): string {
  return `/metadata/${pointerToken(key)}`;
}
