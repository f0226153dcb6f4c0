import { isRefusal } from '../../actors/decider.ts';
import { SYSTEM } from '../../actors/principal.ts';
import type { Envelope } from '../../events/envelope.ts';
import type { Env } from '../env.ts';
import type { OutgoingEvent } from './cloud-event.ts';
import { originOf } from './stream-object.ts';

/**
 * Puts back the data of events that were too long for a message: from the log of the object they came from.
 *
 * @throws when they are not there or cannot be read now
 */
export function withData(events: readonly OutgoingEvent[], env: Env): Promise<readonly OutgoingEvent[]> {
  return Promise.all(
    events.map(async (event) => {
      if (event.dataref === undefined) return event;
      const page = await originOf(env, event).history(SYSTEM, Number(event.sequence) - 1, 1);
      const [text] = isRefusal(page) ? [] : page.events;
      if (text === undefined) throw new Error(`${event.source} has no event ${event.sequence}`);
      const { data }: Envelope = JSON.parse(text);
      return { ...event, data };
    }),
  );
}
