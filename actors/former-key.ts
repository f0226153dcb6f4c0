import type { ActorEvent } from '../events/actor.ts';
import type { Envelope } from '../events/envelope.ts';
import { type Recorded, recorded } from './decider.ts';

/** A key that is good no more, and why. */
export interface FormerKey {
  readonly id: string;
  readonly end: 'revoked' | 'expired' | 'rotated';
}

/**
 * Finds a key that is none any more in the history of its actor: their state knows the living ones only.
 *
 * @param pages the history, as texts of events, oldest first
 * @returns null when there never was a key with this hash
 */
export async function findFormerKey(pages: AsyncIterable<readonly string[]>, hash: string): Promise<FormerKey | null> {
  const mark = `"hash":"${hash}"`;
  let id: string | null = null;
  let end: FormerKey['end'] = 'expired';
  for await (const texts of pages) {
    for (const text of texts) {
      if (!text.includes(id ?? mark)) continue;
      const event = openEvent(text);
      if (event.type === 'key_issued' && event.data.hash === hash) id = event.data.key;
      if (event.type === 'key_rotated' && event.data.hash === hash) id = event.data.successor;
      else if (event.type === 'key_rotated' && event.data.key === id) end = 'rotated';
      if (event.type === 'key_revoked' && event.data.key === id) end = 'revoked';
    }
  }
  return id === null ? null : { id, end };
}

/** The rotations in a history. @param pages as of `findFormerKey` */
export async function rotationsIn(pages: AsyncIterable<readonly string[]>) {
  const rotations: Extract<ActorEvent, { type: 'key_rotated' }>['data'][] = [];
  for await (const texts of pages) {
    for (const text of texts) {
      // Before it is parsed: of a busy actor's events nearly all are about something else.
      const event = text.includes('key_rotated') ? openEvent(text) : null;
      if (event?.type === 'key_rotated') rotations.push(event.data);
    }
  }
  return rotations;
}

function openEvent(text: string): Recorded<ActorEvent> {
  const envelope: Envelope = JSON.parse(text);
  return recorded<ActorEvent>(envelope);
}
