import { isActorId } from '../../events/actor.ts';
import { isChittyId } from '../../events/chitty-id.ts';
import { CONNECTION_PREFIX } from '../../events/connection.ts';
import { CONTEXT_PREFIX } from '../../events/context.ts';
import { DEAD_LETTER_PREFIX } from '../../events/dead-letter.ts';
import { delegatorOf } from '../../events/delegation.ts';
import { isId } from '../../events/id.ts';
import { INSTALLATION_PREFIX } from '../../events/installation.ts';
import { WEBHOOK_PREFIX } from '../../events/webhook.ts';
import { findActorByChittyId } from '../../projections/actors.ts';
import { findByChittyId } from '../../projections/chitty-ids.ts';
import type { Env } from '../env.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Route } from '../http/route.ts';
import { namesIn } from './places.ts';

/** Query parameters that say what a request is about; the first that is there says it for the entry. */
const PARAMETERS = ['context', 'stream', 'owner', 'actor', 'subject'];

const PREFIXES = {
  context: CONTEXT_PREFIX,
  connection: CONNECTION_PREFIX,
  dead_letter: DEAD_LETTER_PREFIX,
  installation: INSTALLATION_PREFIX,
  webhook: WEBHOOK_PREFIX,
} as const;

/**
 * The streams that a request names in its path and in the parameters that its route takes, by their own ids or by
 * ChittyIDs. What is no id of a stream is left out: a caller may have written anything there.
 *
 * @param actor who stands for `me`
 * @returns `<stream type>/<id>` each, the one that the request is about first
 */
export async function streamsNamed({ request, env }: Exchange, route: Route, actor: string): Promise<string[]> {
  const texts = request.params?.id === undefined ? [] : [request.params.id];
  if (request.url.includes('?')) {
    const given = new URL(request.url).searchParams;
    const known = namesIn(route.operation.requestParams?.query);
    texts.push(...PARAMETERS.filter((name) => known.includes(name)).flatMap((name) => given.getAll(name)));
  }
  const found = await Promise.all(texts.map((text) => streamNamed(env, text === 'me' ? actor : text)));
  return found.filter((stream) => stream !== null);
}

/** The stream that a text names, by its id with or without its type before it; null when it names none. */
async function streamNamed(env: Env, text: string): Promise<string | null> {
  const id = text.slice(text.indexOf('/') + 1);
  if (isChittyId(id)) return streamOfChittyId(env, id);
  if (isActorId(id)) return `actor/${id}`;
  // A delegation is a part of the stream of the actor who made it.
  const delegator = delegatorOf(id);
  if (delegator !== null) return `actor/${delegator}`;
  const [type] = Object.entries(PREFIXES).find(([, prefix]) => isId(prefix, id)) ?? [];
  return type === undefined ? null : `${type}/${id}`;
}

/** Contexts and actors have one of the same form, and nothing has that of another. */
async function streamOfChittyId(env: Env, chittyId: string): Promise<string | null> {
  const context = await findByChittyId(env.DB, chittyId);
  if (context !== null) return `context/${context}`;
  const actor = await findActorByChittyId(env.DB, chittyId);
  return actor === null ? null : `actor/${actor}`;
}
