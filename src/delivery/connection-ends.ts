import type { Connection } from '../../actors/connection.ts';
import { SYSTEM } from '../../actors/principal.ts';
import { nextUlid } from '../../events/ulid.ts';
import { livingConnectionsOf } from '../../projections/connections.ts';
import type { Env } from '../env.ts';

/** Connections that are ended at the same time, and in one delivery: a request of the platform can make so many calls. */
const AT_ONCE = 50;
const PER_DELIVERY = 500;

/**
 * Ends the connections of a context that was deleted, of which D1 knows. Those it does not know yet end by
 * `endWhenContextIsDeleted`: that asks the context after the connection's row is written, and here the rows are read after
 * the context was deleted, so one of the two finds it.
 *
 * @throws when there are more than one delivery ends
 */
export async function endConnectionsOf(env: Env, context: string): Promise<void> {
  let after = '';
  for (let ended = 0; ended < PER_DELIVERY; ended += AT_ONCE) {
    const connections = await livingConnectionsOf(env.DB, context, after, AT_ONCE);
    await Promise.all(connections.map((id) => endConnection(env, id)));
    if (connections.length < AT_ONCE) return;
    after = connections.at(-1) ?? '';
  }
  throw new Error('there are more connections to end');
}

/** Ends a connection when a context at one of its ends is deleted. */
export async function endWhenContextIsDeleted(env: Env, { id, from, to, status }: Connection): Promise<void> {
  if (status === 'disconnected') return;
  const standings = await Promise.all(
    [from, to].map((context) => env.CONTEXTS.get(env.CONTEXTS.idFromName(context)).standingOf(SYSTEM)),
  );
  if (standings.some(({ isDeleted }) => isDeleted)) await endConnection(env, id);
}

async function endConnection(env: Env, id: string): Promise<void> {
  const commandId = nextUlid(Date.now());
  await env.CONNECTIONS.get(env.CONNECTIONS.idFromName(id)).execute({
    id,
    command: { type: 'endWithContext' },
    principal: SYSTEM,
    cause: { correlationId: commandId, causationId: null, commandId },
  });
}
