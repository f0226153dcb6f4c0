import { isRefusal, type RefusalCode } from '../../actors/decider.ts';
import type { Principal } from '../../actors/principal.ts';
import type { Webhook } from '../../actors/webhook.ts';
import type { NewsPart, Span, Unreadable } from '../../actors/webhook-ports.ts';
import { readFeed } from '../../projections/feed.ts';
import { accessView, freshAccessView } from '../auth/access-views.ts';
import type { Env } from '../env.ts';

/** What a webhook reads, and by which right: its owner's, as it is at that moment. */

/** Why a context gives nothing to somebody who may not read it. All else is no reason to leave events out. */
const MAY_NOT_READ: readonly RefusalCode[] = [
  'not-found',
  'forbidden',
  'insufficient-scope',
  'deleted',
  'before-creation',
];

/** What an owner is now; null when there is no such actor any more. */
export async function ownerStatus(env: Env, owner: string): Promise<'active' | 'suspended' | null> {
  const { status } = await freshAccessView(env, owner);
  return status === 'deleted' ? null : status;
}

/**
 * The principal that a webhook reads as: its owner, with the right to read contexts that they are a member of and no
 * other. What an administrator or an auditor may read beside that is looked at by people, and recorded.
 */
function readerFor({ id, owner, contexts }: Webhook): Principal {
  return {
    actor: owner,
    subject: owner,
    capabilities: [],
    scopes: ['contexts:read'],
    contexts,
    credential: { kind: 'webhook', id },
    chain: [],
    expiresAt: null,
  };
}

/** What is new in the feed after a position, for the owner. */
export async function newsFor(
  env: Env,
  webhook: Webhook,
  after: number,
  limit: number,
  { from, to }: Span,
): Promise<NewsPart> {
  const span = { ...(from !== null && from !== '' && { from }), ...(to !== null && { to }) };
  const query = { readableBy: webhook.owner, among: webhook.contexts, ...span };
  const { runs: news, ...rest } = await readFeed(env.DB, query, after, limit);
  return { news, ...rest };
}

/**
 * The events of a context after a version, as the context gives them to the owner now; none when it does not, null while
 * the owner is suspended.
 */
export async function eventsFor(
  env: Env,
  webhook: Webhook,
  context: string,
  after: number,
  limit: number,
): Promise<readonly string[] | Unreadable | null> {
  if ((await accessView(env, webhook.owner)).status !== 'active') return null;
  try {
    const page = await env.CONTEXTS.get(env.CONTEXTS.idFromName(context)).history(readerFor(webhook), after, limit);
    if (!isRefusal(page)) return page.events;
    const { refused, detail } = page;
    return MAY_NOT_READ.includes(refused) ? [] : { reason: detail, isPassing: refused !== 'history-damaged' };
  } catch (error) {
    // What the object says itself may tell what is in it. Other contexts go on.
    console.error(JSON.stringify({ level: 'error', message: `${webhook.id}: ${context} cannot be read: ${error}` }));
    return { reason: `Version ${after + 1} of context/${context} cannot be read now.`, isPassing: true };
  }
}
