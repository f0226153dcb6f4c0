import type { Principal } from '../../actors/principal.ts';
import type { Env } from '../env.ts';

/** Close codes of the live protocol that its rewritings tell apart (actors/subscribers.ts). */
export const CLOSE_ENDED = 4401;
export const CLOSE_DELETED = 4410;

/** What comes over the WebSocket; `presence` only to those who ask who else is there. */
export type Frame =
  | { type: 'hello'; version: number }
  | { type: 'sync' }
  | { type: 'presence'; actors: readonly string[]; count: number }
  | { type: 'close'; code: number }
  | { type: 'event'; event: { type: string; version: number } };

/** A WebSocket to a context's live events, or the response it gave instead. See `subscribe`. */
export async function connect(
  env: Env,
  context: string,
  after: number | null,
  principal: Principal,
  wantsPresence = false,
): Promise<WebSocket | Response> {
  const response = await subscribe(env, context, after, principal, wantsPresence);
  return response.webSocket ?? response;
}

/**
 * Asks a context's object for a WebSocket, and has the actors whose rights it is opened with note that it is open.
 *
 * @param after the version after which events are wanted; null for the present
 * @param wantsPresence whether to be told who else watches
 */
export async function subscribe(
  env: Env,
  context: string,
  after: number | null,
  principal: Principal,
  wantsPresence = false,
): Promise<Response> {
  const query = new URLSearchParams({
    ...(after !== null && { after: String(after) }),
    ...(wantsPresence && { presence: 'true' }),
  });
  const headers = { Upgrade: 'websocket', 'X-Principal': encodeURIComponent(JSON.stringify(principal)) };
  const object = env.CONTEXTS.get(env.CONTEXTS.idFromName(context));
  const response = await object.fetch(`https://object/live?${query}`, { headers });
  if (response.webSocket === null || (await isStillGood(env, context, principal))) return response;
  // The edge went by what it knew a moment ago; meanwhile the credential has ended.
  await object.endSubscriptions({ credentials: [principal.credential.id] });
  return response;
}

/**
 * Whether the rights that something is opened with are there, which the actors whose they are know for certain. Asked
 * after the opening, so that no end of the credential falls in between: one that came before is told here, one that
 * comes later finds the context noted. The bootstrap key ends with the process only.
 */
export async function isStillGood(env: Env, context: string, principal: Principal): Promise<boolean> {
  if (principal.credential.kind === 'bootstrap-key') return true;
  if (principal.expiresAt !== null && principal.expiresAt <= Date.now()) return false;
  const involved = new Set([principal.actor, principal.subject, ...principal.chain.map(({ by }) => by)]);
  const answers = await Promise.all(
    [...involved].map((actor) => env.ACTORS.get(env.ACTORS.idFromName(actor)).noteWatching(context, principal)),
  );
  return answers.every((isGood) => isGood);
}
