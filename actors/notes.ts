import type { ContextEvent } from '../events/context.ts';
import {
  collaborationOf,
  isOwner,
  type KeptContext,
  newestWithin,
  voiceOf,
  withCollaboration,
} from './collaboration.ts';
import type { Recorded, Refusal } from './decider.ts';
import type { Principal } from './principal.ts';

/** Notes that a context keeps, and bytes of all of them; older ones are in the history. */
const NOTES_MAX = 100;
const NOTES_MAX_BYTES = 48 * 1024;

/** What can be asked about notes. */
export type NoteCommand =
  | { readonly type: 'addNote'; readonly note: string; readonly text: string }
  | { readonly type: 'removeNote'; readonly note: string };

/** The events of notes. */
export type NoteEvent = Extract<ContextEvent, { type: 'note_added' | 'note_removed' }>;

/** Decides about notes: who may change a context may add some, and their author or an owner may remove them. */
export function decideNotes(command: NoteCommand, state: KeptContext, by: Principal): readonly NoteEvent[] | Refusal {
  if (state.status === 'deleted') return { refused: 'deleted', detail: 'The context is deleted: restore it first.' };
  const { note, type } = command;
  if (type === 'addNote') return [{ type: 'note_added', data: { note, text: command.text } }];
  const found = collaborationOf(state).notes.find(({ id }) => id === note);
  if (!found) {
    const detail = 'There is no such note among those that the context keeps. It may be in the history only.';
    return { refused: 'not-found', detail };
  }
  if (found.author !== by.subject && !isOwner(by, state)) {
    return { refused: 'forbidden', detail: 'Only its author or an owner can remove a note.' };
  }
  return [{ type: 'note_removed', data: { note } }];
}

/** The context after an event of notes. */
export function evolveNotes(state: KeptContext, event: Recorded<NoteEvent>): KeptContext {
  const { notes } = collaborationOf(state);
  if (event.type === 'note_removed') {
    return withCollaboration(state, { notes: notes.filter(({ id }) => id !== event.data.note) });
  }
  const { note: id, text } = event.data;
  const { actor: author, at } = voiceOf(event);
  return withCollaboration(state, {
    notes: newestWithin([...notes, { id, author, text, at }], NOTES_MAX, NOTES_MAX_BYTES),
  });
}
