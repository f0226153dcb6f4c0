import { isActorId } from '../../../events/actor.ts';
import { isAuditStreamId } from '../../../events/audit.ts';
import { CONNECTION_PREFIX } from '../../../events/connection.ts';
import { CONTEXT_PREFIX } from '../../../events/context.ts';
import { DEAD_LETTER_PREFIX } from '../../../events/dead-letter.ts';
import { isId } from '../../../events/id.ts';
import { INSTALLATION_PREFIX } from '../../../events/installation.ts';
import { LIMITS_ID } from '../../../events/limits.ts';
import { WEBHOOK_PREFIX } from '../../../events/webhook.ts';
import { RING_ID } from '../../auth/key-ring.ts';
import type { Exchange } from '../exchange.ts';
import type { Problem } from '../problem.ts';

/** What tells the ids of each type of stream. */
const IDS: ReadonlyMap<string, (id: string) => boolean> = new Map([
  ['actor', isActorId],
  ['audit', isAuditStreamId],
  ['connection', (id) => isId(CONNECTION_PREFIX, id)],
  ['context', (id) => isId(CONTEXT_PREFIX, id)],
  ['dead_letter', (id) => isId(DEAD_LETTER_PREFIX, id)],
  ['installation', (id) => isId(INSTALLATION_PREFIX, id)],
  ['keyring', (id) => id === RING_ID],
  ['limits', (id) => id === LIMITS_ID],
  ['webhook', (id) => isId(WEBHOOK_PREFIX, id)],
]);

/** What is answered where there is none. */
export const NO_STREAM: Problem = { problem: 'not-found', detail: 'There is no such stream.' };

/** The stream that a path with `:type/:id` names, as `<stream type>/<id>`; it may never have been written. */
export function streamIn({ request }: Exchange): string | Problem {
  const { type = '', id = '' } = request.params ?? {};
  return IDS.get(type)?.(id) ? `${type}/${id}` : NO_STREAM;
}
